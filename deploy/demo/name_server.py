"""A name server for ``make run``: it knows the TXT records that prove whose the sample company's domain is, and nothing else."""

from __future__ import annotations

import json
import socketserver
import sys
from pathlib import Path

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class Names(socketserver.BaseRequestHandler):
    """Answers from a file of ``{"name": "text"}``, read at each question."""

    records: Path

    def handle(self) -> None:
        packet, socket = self.request
        try:
            question = dns.message.from_wire(packet)
            answer = dns.message.make_response(question)
            (asked,) = question.question
        except (dns.exception.DNSException, ValueError):
            return
        known: dict[str, str] = json.loads(self.records.read_text()) if self.records.exists() else {}
        text = known.get(asked.name.to_text(omit_final_dot=True).lower())
        if text is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif asked.rdtype == dns.rdatatype.TXT:
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "TXT", f'"{text}"'))
        socket.sendto(answer.to_wire(), self.client_address)


if __name__ == "__main__":
    port, Names.records = int(sys.argv[1]), Path(sys.argv[2])
    with socketserver.UDPServer(("127.0.0.1", port), Names) as server:
        server.serve_forever()
