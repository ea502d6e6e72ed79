"""What went wrong between this machine and the Hub, in one line each, with the remedy.

Contract: `may_pass` says whether the same request may succeed a little later; `explain` says what a person has to do if
it does not. Both take what huggingface_hub raises.
"""

from json import JSONDecodeError

from huggingface_hub import constants
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)

# RuntimeError: an upload that failed, as huggingface_hub and hf_xet report it. JSONDecodeError: no Hub has answered.
HUB_ERRORS = (HTTPError, OSError, RuntimeError, JSONDecodeError)

LOG_IN = (
    "make a token that may write at https://huggingface.co/settings/tokens, "
    "then run `hf auth login` or set HF_TOKEN, which wins over the login"
)
AGAIN = "then run the same command again: it goes on, and nothing is half-published"
OUT_OF_ORDER = f"the Hub is out of order; wait until https://status.huggingface.co is green, {AGAIN}"
NO_ROOM = "the account has no room or no plan for it; free space or see https://huggingface.co/settings/billing"
REMEDIES = {
    400: "the Hub does not understand the request; is the name of the branch a valid one?",
    401: f"the Hub does not accept the token; {LOG_IN}",
    402: NO_ROOM,
    403: f"this token may not do that; {LOG_IN}, or propose the files with --create-pr",
    404: "not there, or not to be seen with this token; check the name, and whose token it is",
    409: "something of that name is in the way; choose another name",
    412: f"the repository has changed in the meantime; look at it, {AGAIN}",
    413: "a file is too large for the Hub; export it as bfloat16, or ask the Hub for more room",
    429: f"too many requests; wait some minutes, {AGAIN}",
}


def may_pass(error: BaseException) -> bool:
    """Say whether the same request may succeed a little later."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        # 412: the head has moved, perhaps by a commit of ours whose answer was lost.
        return status >= 500 or status in (408, 412)
    return isinstance(error, (HTTPError, RuntimeError))


def explain(error: BaseException, repo: str) -> str:
    """Say in one line what was refused, and the remedy."""
    if isinstance(error, LocalTokenNotFoundError):
        return f"there is no token; {LOG_IN}"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it to publish"
    if isinstance(error, HfHubHTTPError):
        status, said = error.response.status_code, str(error.server_message)
        # The Hub refuses files beyond the quota with 403 as well.
        remedy = NO_ROOM if "storage" in said.lower() else REMEDIES.get(status, "the Hub refuses")
        return f"{repo}: {OUT_OF_ORDER if status >= 500 else remedy} ({reason(error)})"
    if isinstance(error, (HTTPError, RuntimeError, JSONDecodeError)):
        return f"no Hub at {constants.ENDPOINT}; look at network, proxy and HF_ENDPOINT, {AGAIN} ({reason(error)})"
    return str(error)


def reason(error: BaseException) -> str:
    """The error itself in one line."""
    if isinstance(error, HfHubHTTPError):
        said = f": {error.server_message}" if error.server_message else ""
        return " ".join(f"{error.response.status_code} from {error.response.url}{said}".split())
    return " ".join(f"{type(error).__name__}: {error}".split())
