"""The section `launcher`: what starts the processes that train one network together."""

import os
import shlex
import subprocess
from pathlib import Path

from pydantic import field_validator

from src.base.errors import InputError
from src.base.params import Params


class LauncherParams(Params):
    command: str

    @field_validator("command")
    @classmethod
    def _splits(cls, command: str) -> str:
        if not shlex.split(command):  # raises ValueError where a quotation has no end
            raise ValueError("must be none or a command, such as torchrun --nproc-per-node=2")
        return command


def run_processes(command: str, arguments: list[str], checkpoints: Path | None) -> None:
    """Let a launcher run Python with these arguments in several processes, and wait for their end.

    No shell reads the command; `$NAME` in it is what the environment holds by that name.

    Parameters
    ----------
    command : str
        Such as `torchrun --nproc-per-node=2`; what follows it are the arguments.
    arguments : list of str
    checkpoints : Path, optional
        The folder of what training goes on from, for the message.

    Raises
    ------
    InputError
        If there is no such program, or it ends with an error, as torchrun does soon after one of
        its processes has.
    """
    program = [os.path.expandvars(part) for part in shlex.split(command)]
    try:
        launcher = subprocess.Popen([*program, *arguments])
    except OSError as error:
        raise InputError(
            f"params.yaml: launcher.command {command!r}: {program[0]!r} cannot be run "
            f"({error.strerror}); correct it, or set it to none"
        ) from None
    try:
        status = launcher.wait()
    except BaseException as error:  # SIGTERM or Ctrl-C: its processes write a checkpoint and end
        launcher.terminate()
        launcher.wait()
        _add_where(error, checkpoints)
        raise
    if status:
        failed = InputError(
            f"params.yaml: launcher.command {command!r} ended with status {status}: one of its "
            "processes failed or was killed, see above"
        )
        _add_where(failed, checkpoints)
        raise failed


def _add_where(error: BaseException, checkpoints: Path | None) -> None:
    if checkpoints is not None and any(checkpoints.glob("*/*.safetensors")):
        error.add_note(f"the same command goes on from {checkpoints}")
