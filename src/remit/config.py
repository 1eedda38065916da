"""The settings: names, defaults, limits; read from arguments and from the environment.

Every setting is `configure(name=...)` or the `REMIT_<NAME>` variable; the first four may also be
given as `PREFACTOR_<NAME>`. An argument wins over the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from ipaddress import ip_address
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias, TypedDict, cast
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource

from remit._base.guard import attempt, logger
from remit._base.system import state_folder
from remit._base.text import (
    PROJECT_PATTERN,
    closest,
    describe_literal,
    describe_url,
    describe_value,
    did_you_mean,
)
from remit.errors import SettingsError
from remit.models._types import Purpose

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

SHARED_WITH_PREFACTOR: Final = ("api_url", "api_token", "agent_id", "environment_id")
API_PATH: Final = "/api/v1"
NOT_FROM_ENVIRONMENT: Final = ("transport", "span_processor")
PREFIX: Final = "REMIT_"
FOREIGN_PREFIXES: Final = ("REMIT_SERVE_", "REMIT_TEST_", "REMIT_SERVICE_", "REMIT_PORT")
"""Prefixes of variables that are not settings: options of `remit serve`, switches of remit's own
tests, and what Kubernetes sets in every container of a namespace with a service called `remit`."""
MIN_NAME_SIMILARITY: Final = 0.75
"""Least similarity of a variable's name to a setting's name for a suggestion, from 0 to 1."""
STRICTEST: Final = MappingProxyType({"on_violation": "deny", "outside_run": "deny"})
"""Values of policy settings that cannot be read: governance fails closed."""
LENIENT: Final = frozenset({"observe", "record", None})
"""Values of policy settings that deny nothing; a misspelt name does not set them."""

# Set by what runs functions: AWS Lambda (Netlify's are that too), Cloud Run and its functions,
# Azure Functions, Vercel. A process of theirs is frozen, throttled or ended between two calls.
# Airflow ends the process of each task by `os._exit`.
# Source: the lists of reserved or system variables in the documentation of each.
SERVERLESS: Final = (
    "AWS_LAMBDA_FUNCTION_NAME",
    "K_SERVICE",
    "FUNCTION_TARGET",
    "FUNCTIONS_WORKER_RUNTIME",
    "VERCEL",
    "AIRFLOW_CTX_DAG_ID",
)

RedactHook: TypeAlias = Callable[[dict[str, object]], object]
Approver: TypeAlias = Callable[[Any], object] | Literal["server"]
Mode: TypeAlias = Literal["auto", "remote", "local", "off"]
FlushOn: TypeAlias = Literal["interval", "run"]
OnViolation: TypeAlias = Literal["observe", "deny", "terminate"]
OutsideRun: TypeAlias = Literal["record", "deny"]

SERVER: Final = "server"
"""The approver that asks the people who use remit's server."""

NO_DATA_DIR: Final = Path(os.devnull, "no-home-folder")
"""Default data folder of a user without a home folder; it cannot be created."""


def default_data_dir() -> Path:
    """Return the path of the `remit` directory in the user's state directory."""
    try:
        return state_folder() / "remit"
    except RuntimeError:
        return NO_DATA_DIR


def default_flush_on() -> FlushOn:
    """Return `run` where the process may be frozen as soon as a call has returned."""
    return "run" if any(map(os.environ.get, SERVERLESS)) else "interval"


def _import_object(value: object) -> object:
    """Import the object of `module:name`; return other values unchanged."""
    if not isinstance(value, str):
        return value
    module, separator, name = value.partition(":")
    if not separator or not module or not name:
        message = "expected module:name, as in myapp.privacy:redact"
        raise ValueError(message)

    # An import may raise anything; the message names the setting.
    imported = attempt(partial(resolve_name, value))
    if not isinstance(imported, Exception):
        return imported
    plain = isinstance(imported, ImportError | AttributeError)
    shown = describe_value(value)
    reason = imported if plain and shown == repr(value) else type(imported).__name__
    message = f"{shown} cannot be imported: {reason}"
    raise ValueError(message) from imported


def _import_approver(value: object) -> object:
    """Import the object of `module:name`; return the word `server` and other values unchanged."""
    is_word = isinstance(value, str) and value.strip().lower() == SERVER
    return SERVER if is_word else _import_object(value)


def _import_objects(value: object) -> object:
    if isinstance(value, str):
        return tuple(_import_object(part.strip()) for part in value.split(",") if part.strip())
    return (value,) if isinstance(value, type) else value


def _lower(value: object) -> object:
    """Return a string in lower case without surrounding space; any other value unchanged."""
    return value.strip().lower() if isinstance(value, str) else value


def _split_texts(value: object) -> object:
    """Return the parts of a comma-separated text, or a set of texts, as a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(cast("set[object]", value)) if isinstance(value, set | frozenset) else value


class Settings(BaseModel):
    """Every setting of remit; frozen."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False
    )

    api_url: str | None = None
    """URL of the API: `https://host[:port]`. If a proxy serves the API under a path, include the
    path.
    """
    api_token: SecretStr | None = None
    """Token for the API. It is never logged."""
    project: str | None = None
    """Name of the project, which distinguishes agents with the same module and name. It consists
    of 1 to 64 characters of `[A-Za-z0-9._-]`. By default, it is the name of the distribution
    that installed the agent's code, otherwise the name in the nearest `pyproject.toml`,
    otherwise none.
    """
    agent_id: str | None = None
    """Id of the agent on the server, for agents that do not set `agent_id=` themselves."""
    environment_id: str | None = None
    """Id of the environment on the server. Some servers require it with an account token."""
    mode: Mode = "auto"
    """`remote` sends data to a server, `local` stores it with a collector inside the process,
    and `off` disables recording. `auto` means `remote` if both URL and token are set, otherwise
    `local`.
    """
    data_dir: Path = Field(default_factory=default_data_dir)
    """Directory for local data and the spool. remit creates it when it is first needed, and only
    its owner can read it. remit does not use a directory that another user owns or can write to
    (not checked on Windows). A relative path is resolved against the working directory at the time
    of `configure()` or of the first run. If the user does not have a home directory, this setting
    is required in the mode `local`. In the mode `remote`, undelivered items are then kept only in
    memory.
    """
    flush_interval_s: PositiveFloat = 1.0
    """Interval in seconds at which recorded items are written to disk. If the process is killed, at
    most the items of one interval are lost.
    """
    flush_on: FlushOn = Field(default_factory=default_flush_on)
    """`interval` delivers items in the background. `run` also flushes at the end of each run and
    waits at most `exit_timeout_s`. Use `run` for functions that are frozen after each call, and
    for processes that end without running exit handlers. `run` is the default if one of these
    variables is set: `AWS_LAMBDA_FUNCTION_NAME`, `K_SERVICE`, `FUNCTION_TARGET`,
    `FUNCTIONS_WORKER_RUNTIME`, `VERCEL`, `AIRFLOW_CTX_DAG_ID`.
    """
    max_buffer_bytes: PositiveInt = 64 * MIB
    """Maximum size in bytes of the items that wait in memory."""
    max_spool_bytes: PositiveInt = GIB
    """Maximum size in bytes of the whole spool directory."""
    max_payload_bytes: Annotated[int, Field(ge=256)] = 64 * KIB
    """Maximum size in bytes of one payload or result. remit cuts a larger payload; it is still
    valid JSON.
    """
    max_batch_items: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Maximum number of items in one bulk request."""
    max_batch_bytes: PositiveInt = MIB
    """Maximum size in bytes of one bulk request."""
    request_timeout_s: PositiveFloat = 10.0
    """Maximum seconds for each network wait during a request, and for reading the response body."""
    exit_timeout_s: Annotated[float, Field(ge=0)] = 2.0
    """Maximum seconds for the flush at process exit."""
    poll_interval_s: PositiveFloat = 30.0
    """Interval in seconds at which remit checks whether an idle run was terminated. A run is
    idle if it is not sending data. For a run with an open stream, the interval is
    `flush_interval_s`.
    """
    run_linger_s: Annotated[float, Field(ge=0)] = 300.0
    """Maximum seconds that a run waits after the end of its block until its last span or stream
    ends.
    """
    purpose: Purpose = "live"
    """Purpose of runs: `live`, `smoke_test` or `eval`. `run(purpose=...)` has priority."""
    on_violation: Annotated[OnViolation, BeforeValidator(_lower)] = "observe"
    """Reaction to a step that violates the agent's remit. `observe` records the violation,
    `deny` denies the step, and `terminate` also ends the run. An invalid value is treated as
    `deny`.
    """
    approver: Annotated[Approver | None, BeforeValidator(_import_approver)] = None
    """A callable, or its name as `module:function`, that asks a person whether a step may run, for
    agents with `remit.risk(asks=...)`. It receives a `remit.ApprovalRequest` and returns
    `remit.Approved` or `remit.Refused`. It may be a coroutine function. `server` asks the people
    who use remit's server. Without an approver, such a step is denied, unless `on_violation` is
    `observe`.
    """
    ask_timeout_s: PositiveFloat = 120.0
    """Maximum seconds for the answer to one request. A later answer has no effect, and the step is
    denied.
    """
    outside_run: Annotated[OutsideRun | None, BeforeValidator(_lower)] = None
    """Reaction to a step outside any run. `record` runs the step, counts it, and logs it once.
    `deny` raises `DeniedError`. If the setting is not set, the step is denied only if
    `on_violation` is `deny` or `terminate`, and the step would violate the remit of an agent
    that is declared in this process.
    """
    redact: Annotated[RedactHook | None, BeforeValidator(_import_object)] = None
    """A callable, or its name as `module:function`. It receives each payload as a dict and
    returns the dict to record. If it raises an exception, the whole payload is redacted.
    """
    redact_off: Annotated[tuple[str, ...], BeforeValidator(_split_texts)] = ()
    """Names of redaction rules to turn off in this process, as markers show them. In the
    environment variable, separate the names with commas. Redaction by type, mark or hidden field
    cannot be turned off.
    """
    control_flow: Annotated[tuple[type[BaseException], ...], BeforeValidator(_import_objects)] = ()
    """Exception types that interrupt a run, but do not mean that it failed. In the environment
    variable, write each as `module:name`, and separate them with commas.
    """
    prices: Path | None = None
    """TOML file with model prices. The commands and `remit serve` read the variable and compute
    costs from the file; `configure(prices=...)` has no effect on them. `remit prices init` writes
    such a file.
    """
    transport: object | None = None
    """A synchronous httpx or httpx2 transport, for example for client certificates or tests. It
    cannot be set as an environment variable.
    """
    span_processor: object | None = None
    """An OpenTelemetry span processor that also receives every span when it ends, such as
    `BatchSpanProcessor(OTLPSpanExporter())`. It cannot be set as an environment variable.
    """

    @field_validator("api_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme, separator, rest = value.partition("://")
        if scheme not in {"http", "https"} or not separator or not rest.strip("/"):
            message = "expected https://host[:port] (or http:// on this machine)"
            raise ValueError(message)
        return api_root(value)

    @field_validator("project")
    @classmethod
    def _check_project(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(PROJECT_PATTERN, value):
            message = "expected 1 to 64 letters, digits, dots, underscores and hyphens"
            raise ValueError(message)
        return value

    @field_validator("data_dir", "prices")
    @classmethod
    def _resolve_path(cls, value: Path | None) -> Path | None:
        try:
            return value and value.expanduser().absolute()
        except RuntimeError as error:
            message = "the home directory is unknown; expected an absolute path"
            raise ValueError(message) from error

    @field_validator("transport")
    @classmethod
    def _check_transport(cls, value: object | None) -> object | None:
        if value is not None and not callable(getattr(value, "handle_request", None)):
            message = "expected a synchronous httpx transport, such as httpx.MockTransport(...)"
            raise ValueError(message)
        return value

    @field_validator("span_processor")
    @classmethod
    def _check_processor(cls, value: object | None) -> object | None:
        if value is not None and not callable(getattr(value, "on_end", None)):
            message = "expected a span processor, such as BatchSpanProcessor(OTLPSpanExporter())"
            raise ValueError(message)
        return value

    @property
    def unencrypted_host(self) -> str | None:
        """Host that gets data unencrypted, by an `http://` URL; None for this machine."""
        parts = urlsplit(self.api_url or "")
        host = parts.hostname or ""
        return host if parts.scheme == "http" and not is_loopback(host) else None

    @property
    def resolved_mode(self) -> Literal["remote", "local", "off"]:
        """The mode with `auto` decided: remote with a URL and a token, else local."""
        if self.mode != "auto":
            return self.mode
        return "remote" if self.api_url and self.api_token else "local"

    @property
    def half_remote(self) -> tuple[str, str] | None:
        """The set and the missing one of URL and token, if `auto` therefore chose local."""
        if self.mode != "auto" or bool(self.api_url) == bool(self.api_token):
            return None
        return ("api_url", "api_token") if self.api_url else ("api_token", "api_url")


class SettingsArguments(TypedDict, total=False):
    """The settings as arguments of `configure()`; `Settings` describes them."""

    api_url: str | None
    api_token: str | SecretStr | None
    project: str | None
    agent_id: str | None
    environment_id: str | None
    mode: Mode
    data_dir: str | os.PathLike[str]
    flush_interval_s: float
    flush_on: FlushOn
    max_buffer_bytes: int
    max_spool_bytes: int
    max_payload_bytes: int
    max_batch_items: int
    max_batch_bytes: int
    request_timeout_s: float
    exit_timeout_s: float
    poll_interval_s: float
    run_linger_s: float
    purpose: Purpose
    on_violation: OnViolation
    approver: str | Approver | None
    ask_timeout_s: float
    outside_run: OutsideRun | None
    redact: str | RedactHook | None
    redact_off: str | Collection[str]
    control_flow: str | type[BaseException] | Collection[type[BaseException]]
    prices: str | os.PathLike[str] | None
    transport: object | None
    span_processor: object | None


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


@lru_cache(maxsize=16)
def api_root(url: str) -> str:
    """Return *url* without a trailing `/api/v1`, which every request adds, and log that once.

    A path before it is kept, because a proxy may serve the API under a prefix.
    """
    bare = url.rstrip("/")
    root = bare.removesuffix(API_PATH).rstrip("/")
    if root != bare:
        logger.warning("api_url ends in %s, which remit removes, because requests add it", API_PATH)
    return root


def variables(name: str) -> tuple[str, ...]:
    """Return the environment variables for the setting *name*, in order of precedence."""
    if name in NOT_FROM_ENVIRONMENT:
        return ()
    ours = f"REMIT_{name.upper()}"
    return (ours, f"PREFACTOR_{name.upper()}") if name in SHARED_WITH_PREFACTOR else (ours,)


IgnoredSources: TypeAlias = frozenset[tuple[str, str]]
"""Variables with their texts that are ignored, because of the pytest plugin."""


def environment_sources(ignored: IgnoredSources = frozenset()) -> dict[str, tuple[str, str]]:
    """Return, for each setting that the environment gives, the variable and its text."""
    # A variable without a text counts as not set.
    source = EnvSettingsSource(BaseSettings, case_sensitive=True, env_ignore_empty=True)
    sources = {
        name: (variable, text)
        for name in Settings.model_fields
        for variable in reversed(variables(name))  # the last one stays
        if (text := source.env_vars.get(variable)) is not None
    }
    for variable in unknown_variables():
        text = os.environ[variable]
        name = _misspelt_policy(variable[len(PREFIX) :].lower(), text)
        if name is not None:
            sources.setdefault(name, (variable, text))
    return {name: source for name, source in sources.items() if source not in ignored}


def _misspelt_policy(name: str, value: object) -> str | None:
    """Return the policy setting that a misspelt *name* means, if *value* makes it deny steps."""
    meant = closest(name, STRICTEST, MIN_NAME_SIMILARITY)
    try:
        settings = Settings.model_validate({meant: value})
    except ValidationError:
        return None
    return None if getattr(settings, meant) in LENIENT else meant


def load(overrides: Mapping[str, object]) -> Settings:
    """Return the settings. *overrides* take precedence over the environment and the defaults.

    Raises:
        SettingsError: If a setting does not exist or its value is not allowed. The message contains
            the setting, its source, the value, and the allowed values.
    """
    settings, problems = read(overrides, environment_sources())
    return _valid(settings, problems or missing(settings))


def from_overrides(overrides: Mapping[str, object]) -> Settings:
    """Return the settings from *overrides*, then the defaults; the environment is not read.

    Raises:
        SettingsError: A name is unknown or a value is not allowed.
    """
    return _valid(*read(overrides, {}))


def _valid(settings: Settings, problems: list[str]) -> Settings:
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def read(
    overrides: Mapping[str, object], sources: Mapping[str, tuple[str, str]]
) -> tuple[Settings, list[str]]:
    """Read the settings one by one, so that a wrong one does not affect the others.

    Args:
        overrides: By name.
        sources: Variables and texts of the environment, by setting.

    Returns:
        The settings, where a wrong value is replaced by the default (in the policy, by the
        strictest value), and one sentence for each wrong setting. A misspelt policy setting that
        denies steps is wrong and holds.
    """
    values: dict[str, object] = {name: text for name, (_, text) in sources.items()}
    problems: list[str] = []
    for name, value in overrides.items():
        if name in Settings.model_fields:
            values[name] = value
            continue
        problems.append(
            f"configure() got an unknown setting {describe_value(name)}"
            f"{did_you_mean(name, Settings.model_fields)}; "
            f"the settings are {', '.join(Settings.model_fields)}"
        )
        policy = _misspelt_policy(name, value)
        if policy is not None and policy not in overrides:
            values[policy] = value
    try:
        return Settings.model_validate(values), problems
    except ValidationError as error:
        problems += _explain(error, overrides, sources)
        unreadable = {str(detail["loc"][0]) for detail in error.errors(include_url=False)}
    readable = {name: value for name, value in values.items() if name not in unreadable}
    strictest = {name: word for name, word in STRICTEST.items() if name in unreadable}
    return Settings.model_validate(readable | strictest), problems


def missing(settings: Settings) -> list[str]:
    """Return a sentence about the first setting that the mode needs and that is not set."""
    absent = [name for name in ("api_url", "api_token") if not getattr(settings, name)]
    if settings.mode == "remote" and absent:
        sentence = (
            f"mode is 'remote' but {absent[0]} is not set: give it to configure() or as "
            f"{variables(absent[0])[0]}, or choose mode='local'"
        )
    elif settings.resolved_mode == "local" and settings.data_dir == NO_DATA_DIR:
        sentence = (
            "data_dir is not set and this user has no home directory: give it to configure() or as "
            f"{variables('data_dir')[0]}"
        )
    else:
        return []
    return [sentence]


def unknown_variables() -> dict[str, str]:
    """Return each unknown variable `REMIT_...` with the most similar known one, or ""."""
    known = [name for name in Settings.model_fields if variables(name)]
    unknown: dict[str, str] = {}
    for variable in sorted(os.environ):
        upper = variable.upper()
        name = upper.removeprefix(PREFIX).lower()
        if not upper.startswith(PREFIX) or upper.startswith(FOREIGN_PREFIXES):
            continue
        if name not in known or variable != upper:
            longer = [setting for setting in known if setting.endswith(f"_{name}")]
            meant = closest(name, known, MIN_NAME_SIMILARITY) or "".join(longer[:1])
            unknown[variable] = variables(meant)[0] if meant else ""
    return unknown


def _explain(
    error: ValidationError,
    overrides: Mapping[str, object],
    sources: Mapping[str, tuple[str, str]],
) -> list[str]:
    """Return one line for each wrong setting; the value of a secret one is not shown."""
    lines: list[str] = []
    for detail in error.errors(include_url=False, include_context=False):
        name = str(detail["loc"][0])
        source = "configure()" if name in overrides else sources[name][0]
        # pydantic's message in the form `expected ...`.
        message = detail["msg"].removeprefix("Value error, ")
        message = message.replace("Input should be", "expected").replace("Input is", "which is")
        seen = _shown(name, detail["input"])
        lines.append(f"setting {name} from {source}: saw {seen}, {message}")
    return list(dict.fromkeys(lines))


def _shown(name: str, value: object) -> str:
    """Return a wrong value, unless it is secret."""
    if name == "api_token":
        return "(hidden)"
    if name == "api_url":
        return describe_url(value) if isinstance(value, str) else type(value).__name__
    return describe_literal(value)
