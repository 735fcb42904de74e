"""What a backup may hold: for making one and for restoring one, the same closed list.

git, DVC and we ourselves do what files in `.git`, `.dvc` and `.sift` say; git's configuration and
attributes name programs. So of these three only content comes back, each file of a known form, and
settings are written anew. Elsewhere any file may lie, but none that git or DVC would take for one
of theirs.
"""

import re
from collections.abc import Mapping

_HEX = "[0-9a-f]"
_NAME = r"(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)))[A-Za-z0-9][A-Za-z0-9._/-]*"
_COPY = rf"{_HEX}{{32}}"
_NOTE = rf"{_HEX}{{32}}-[0-9]{{8}}T[0-9]{{12}}Z-(?:all|{_HEX}{{16}})\.departure"
_OURS = {
    ".git": (
        r"HEAD",
        r"packed-refs",
        rf"refs/(?:heads|tags|remotes|notes)/{_NAME}",
        rf"objects/{_HEX}{{2}}/{_HEX}{{38}}",
        rf"objects/pack/pack-{_HEX}{{40}}\.(?:pack|idx|rev)",
    ),
    ".dvc": (
        r"\.gitignore",
        rf"cache/files/md5/{_HEX}{{2}}/{_HEX}{{30}}(?:\.dir)?",
    ),
    ".sift": (
        r"secret\.key",
        r"keys/(?:signing|model)\.pem",
        r"keys/public/[0-9]{4}(?:\.pem|\.dsse\.json)",
        r"pushed-to",
        r"openlineage\.jsonl",
        r"lately/[a-z-]+\.json",
        rf"departures/{_NOTE}",
        rf"departures/copies/{_COPY}(?:\.copy|/removed/{_NOTE}|/{_NOTE})",
        rf"vectors/{_HEX}{{32}}-{_HEX}{{32}}\.safetensors",
        r"downloads/[A-Za-z0-9._/-]+",
    ),
}
_FOLDERS = {
    ".git": ("objects", "refs"),
    ".dvc": ("cache",),
    ".sift": ("keys", "lately", "departures", "vectors", "downloads"),
}
_ALLOWED = {top: re.compile("|".join(f"(?:{one})" for one in own)) for top, own in _OURS.items()}
_NEVER = frozenset({".git", ".gitattributes", ".gitmodules", ".dvc", ".sift"})
_OBJECT_ID = re.compile(rf"{_HEX}{{40}}")
_HEAD = re.compile(rf"ref: refs/heads/{_NAME}|{_HEX}{{40}}")
_PACKED = re.compile(rf"#[ -~]*|\^?{_HEX}{{40}}|{_HEX}{{40}} refs/{_NAME}")


def is_kept(name: str) -> bool:
    """Whether a file is one that a backup holds: of `.git`, `.dvc` and `.sift` what is listed."""
    top, _, rest = name.partition("/")
    if top in _OURS:
        return _ALLOWED[top].fullmatch(rest) is not None
    return not is_refused(name)


def is_kept_folder(name: str) -> bool:
    """Whether a folder is one that a backup holds: of those three, what may hold what is listed."""
    top, _, rest = name.partition("/")
    if top not in _FOLDERS or not rest:
        return not is_refused(name)
    return any(rest == one or rest.startswith(f"{one}/") for one in _FOLDERS[top])


def is_refused(name: str) -> bool:
    """Whether git or DVC would take a file or folder for one of theirs, outside of their own."""
    parts = name.split("/")
    known = parts[1:] if parts[0] in _OURS else parts
    return any(part.casefold() in _NEVER for part in known)


def first_wrong_ref(contents: Mapping[str, bytes]) -> str | None:
    """Which of git's small files, by path, is not of git's form; None: all are."""
    forms = {".git/HEAD": _HEAD, ".git/packed-refs": _PACKED}
    for name, data in contents.items():
        form = forms.get(name, _OBJECT_ID)
        lines = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
        wrong = [line for line in lines if form.fullmatch(line) is None]
        if wrong or (name != ".git/packed-refs" and len(lines) != 1):
            return name
    return None
