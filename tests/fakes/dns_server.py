"""A name server for tests: answers TXT questions on 127.0.0.1 by UDP and TCP, well or badly, as the test says."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class DnsServer:
    """``records``: name (no dot at the end) → its TXT records, each as it stands in a zone file (quoted strings).

    ``aliases``: name → another name. ``failures``: name → a response code, or ``silence``, or ``garbage``. A name that
    stands nowhere does not exist.
    """

    records: dict[str, list[str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)  # (udp or tcp, name)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, packet: bytes, by: str) -> bytes | None:
        query = dns.message.from_wire(packet)
        name = query.question[0].name
        text = name.to_text(omit_final_dot=True).lower()
        self.asked.append((by, text))
        failure = self.failures.get(text)
        if failure == "silence":
            return None
        if failure == "garbage":
            return packet[:2] + b"\x81\x80" + b"\xff" * 20
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if failure:
            response.set_rcode(dns.rcode.from_text(failure))
            return response.to_wire()
        if text in self.aliases:
            target = dns.name.from_text(self.aliases[text])
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", target.to_text()))
            name, text = target, self.aliases[text]
        if text not in self.records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif self.records[text] and query.question[0].rdtype == dns.rdatatype.TXT:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *self.records[text]))
        if by == "tcp":
            return response.to_wire()
        try:
            return response.to_wire(max_size=512)
        except dns.exception.TooBig:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC
            return short.to_wire()


@contextmanager
def dns_server(**zone: dict[str, list[str]]) -> Iterator[DnsServer]:
    """A server on a free port."""
    here = DnsServer(**zone)  # type: ignore[arg-type]  # the names of its fields

    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            packet, socket = self.request
            answer = here.answer(packet, "udp")
            if answer is not None:
                socket.sendto(answer, self.client_address)

    class Tcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (size,) = struct.unpack("!H", self.rfile.read(2))
            answer = here.answer(self.rfile.read(size), "tcp")
            if answer is not None:
                self.wfile.write(struct.pack("!H", len(answer)) + answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tcp) as tcp:
        here.port = tcp.server_address[1]
        with socketserver.ThreadingUDPServer(("127.0.0.1", here.port), Udp) as udp:
            threads = [threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True) for one in (tcp, udp)]
            for thread in threads:
                thread.start()
            try:
                yield here
            finally:
                for one in (tcp, udp):
                    one.shutdown()
                for thread in threads:
                    thread.join()
