"""What Python on Windows lacks: the simulation hides it, and the package does not name it."""

from __future__ import annotations

from typing import Final

MODULES: Final = frozenset({
    "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty",
})  # fmt: skip
OS: Final = frozenset({
    "O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC",
    "WEXITSTATUS", "WIFEXITED", "WNOHANG", "chown", "chroot", "confstr", "ctermid", "fchdir",
    "fchown", "fdatasync", "fork", "forkpty", "fstatvfs", "getegid", "geteuid", "getgid",
    "getgroups", "getloadavg", "getpgid", "getpgrp", "getuid", "killpg", "lchown", "lockf", "major",
    "makedev", "minor", "mkfifo", "mknod", "nice", "openpty", "posix_fadvise", "posix_fallocate",
    "posix_spawn", "pread", "pwrite", "register_at_fork", "sched_getaffinity", "sendfile", "setgid",
    "setsid", "setuid", "statvfs", "sync", "sysconf", "ttyname", "uname", "wait", "wait3", "wait4",
})  # fmt: skip
SIGNAL: Final = frozenset({
    "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP",
    "SIGTSTP", "SIGUSR1", "SIGUSR2", "alarm", "getitimer", "pause", "pthread_kill",
    "pthread_sigmask", "setitimer", "siginterrupt", "sigwait",
})  # fmt: skip
SELECT: Final = frozenset({"POLLIN", "POLLOUT", "epoll", "kqueue", "poll"})
SOCKET: Final = frozenset({"AF_UNIX", "SO_REUSEPORT"})
TIME: Final = frozenset({"clock_gettime", "tzset"})
