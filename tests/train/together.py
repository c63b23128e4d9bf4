"""What the processes of a test do; each of them imports this module."""

import os

import torch
from small_runs import recipe

from masktools.errors import MasktoolsError
from masktools_train.distributed import Agreement, join
from masktools_train.progress import SilentObserver
from masktools_train.trainer import Trainer

CPU = torch.device("cpu")


def meet(rank, world, port):
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def record(rank, world, port, cases, folder):
    """Train, and save the masks after every step, the final state and the records."""
    meet(rank, world, port)
    for name, (algorithm, changes) in cases.items():
        torch.save(trained(algorithm, changes, join(CPU)), folder / f"{name}-{world}-{rank}.pt")


def trained(algorithm, changes, processes):
    trainer = Trainer(recipe(algorithm, **changes), CPU, SilentObserver(), processes=processes)
    masks = [trainer.sparsifier.masks()]
    trainer._optimizer.register_step_post_hook(lambda *_: masks.append(trainer.sparsifier.masks()))
    trainer.run(lambda _: masks.append(trainer.sparsifier.masks()))
    state = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    return masks, state, [entry.to_dict() for entry in trainer.records]


def disagree(rank, world, port, folder):
    """Let one process change a mask on its own, and save what all of them say to that."""
    meet(rank, world, port)
    processes = join(CPU)
    trainer = Trainer(recipe("static"), CPU, SilentObserver(), processes=processes)
    agreement = Agreement(processes, trainer.sparsifier)
    agreement.require()
    if rank == 1:
        mask = trainer.sparsifier.layers[0].mask.view(-1)
        mask[mask.nonzero()[0, 0]] = 0
    try:
        agreement.require()
    except MasktoolsError as error:
        (folder / f"said-{rank}").write_text(str(error))
