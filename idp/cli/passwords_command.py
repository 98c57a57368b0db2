"""``idp passwords``: what is known of passwords that others have stolen."""

from __future__ import annotations

from pathlib import Path

import click

from idp.errors import OperatorError


@click.group("passwords")
def passwords_command() -> None:
    """Passwords known from breaches: build-breach-list."""


@passwords_command.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True),
    help="The public list: one file ordered by hash, or the folder with a file for each first five digits.",
)
@click.option(
    "--at-least",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Leave out passwords that were seen less often than this.",
)
def build_breach_list(target: Path, source: Path | None, at_least: int) -> None:
    """Write to TARGET the passwords that nobody may choose any more, in three bytes for each.

    They come from the public SHA-1 list of Pwned Passwords, which is read once from beginning to end. Without --from the small
    list is written that comes with the provider.

    \b
    idp passwords build-breach-list --from pwnedpasswords.txt /var/lib/idp/breached.bin
    """
    from rich.console import Console
    from rich.progress import Progress

    from idp.accounts.breach_list import FOLDER_FILES, hash_files, key_of, read_hashes, write_list
    from idp.accounts.password_rules import common_passwords

    if source is None:
        if at_least > 1:
            raise OperatorError(
                "--at-least goes with --from: the small list does not say how often a password was seen."
            )
        size = write_list(sorted(map(key_of, common_passwords())), target)
    else:
        files = hash_files(source)
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("Reading", total=sum(file.stat().st_size for file in files))
            keys = read_hashes(files, at_least, lambda more: progress.advance(task, more))
            size = write_list(keys, target)
        if source.is_dir() and len(files) < FOLDER_FILES:
            click.echo(
                f"{source} holds {len(files)} of {FOLDER_FILES} files: the passwords in the others are not on the list.",
                err=True,
            )
    if not size:
        target.unlink()
        raise OperatorError("There is no password on that list.")
    click.echo(f"{target}: {size} passwords, {target.stat().st_size} bytes.")
    click.echo(f"Set IDP_BREACH_LIST={target.resolve()} and start the provider again.")
