"""Servers that are not the API: behaviours for `tests.loopback.serving`."""

from __future__ import annotations

import socket
import threading

from tests.loopback import request_of


def login_page(connection: socket.socket, _: threading.Event) -> None:
    """Answer as a login page does."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 19\r\n\r\n"
    while request_of(connection):
        connection.sendall(head + b"<html>Log in</html>")


def moved(connection: socket.socket, _: threading.Event) -> None:
    """Answer that the API is elsewhere."""
    where = b"Location: https://api.example/api/v1/ping\r\nContent-Length: 0\r\n\r\n"
    while request_of(connection):
        connection.sendall(b"HTTP/1.1 301 Moved\r\n" + where)


def silent(_: socket.socket, over: threading.Event) -> None:
    """Take the request and never answer."""
    over.wait()


def plain(connection: socket.socket, _: threading.Event) -> None:
    """Answer a TLS greeting as a server of plain HTTP does."""
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def tls(connection: socket.socket, _: threading.Event) -> None:
    """Answer plain HTTP as a TLS server does: with an alert."""
    connection.recv(1024)
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46")
