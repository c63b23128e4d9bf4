"""Results as documents, and documents as text: tables for people, JSON and CSV for programs."""
