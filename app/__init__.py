"""Agent Relay: a message bus for coding agents."""

from __future__ import annotations

__version__ = "0.1.0"
