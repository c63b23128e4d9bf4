"""One thread: many small products run side by side with other tests, and sums are the same every time."""

import torch

torch.set_num_threads(1)
