"""`segue completion`: the script by which a shell completes commands and options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

VARIABLE = "_SEGUE_COMPLETE"
"""set by the script when the shell asks for completions"""


class Shell(StrEnum):
    """Those a script is to be had for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell's.")]) -> None:
    """Print a script that makes the shell complete commands and options. It changes no file.

    Examples:
        source <(segue completion bash)                                    in this shell
        segue completion bash > ~/.local/share/bash-completion/completions/segue
        segue completion zsh > "${fpath[1]}/_segue"
        segue completion fish > ~/.config/fish/completions/segue.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # it exports nothing by name

    typer.echo(get_completion_script(prog_name="segue", complete_var=VARIABLE, shell=shell.value))


def prepare_completion() -> None:
    """Before the application answers a shell: typer does so itself only where it has options for it."""
    from typer.completion import completion_init  # type: ignore[attr-defined]  # as above

    completion_init()
