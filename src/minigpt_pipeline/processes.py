"""What tells a process from every other."""

import socket

import psutil


def describe_process(process_id: int | None = None) -> str:
    """Return what tells a process from every other, `host:1234:5678.90`; of a zombie, too.

    The last number is when it began, in seconds since the machine did: the time of day would be another one behind each
    setting of the clock.

    Args:
        process_id: Of this machine; null means this process.

    Raises:
        psutil.NoSuchProcess: If there is none with that number.
    """
    process = psutil.Process(process_id)
    started = process.create_time() - psutil.boot_time()
    return f"{socket.gethostname()}:{process.pid}:{started:.2f}"


def has_ended(described: str) -> bool:
    """Whether a process, as `describe_process` has described it, is one of this machine and no more."""
    host, _, process_id = described.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not process_id.isdecimal():
        return False
    try:
        # A zombie has ended; only its parent has not looked yet.
        is_zombie = str(psutil.Process(int(process_id)).status()) == psutil.STATUS_ZOMBIE
        return is_zombie or describe_process(int(process_id)) != described
    except psutil.NoSuchProcess:
        return True
