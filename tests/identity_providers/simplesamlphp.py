"""simplesamlphp, as Debian ships it, in PHP's own web server: an identity provider that universities and companies run."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests import canaries
from tests.backends import ending_with_us, free_port, wait_until
from tests.identity_providers.key_files import write_key_pair
from tests.needs import program

CONFIG = """<?php
$config = [
    'baseurlpath' => '{address}/',
    'certdir' => '{folder}/',
    'metadatadir' => '{folder}/',
    'attributenamemapdir' => '/etc/simplesamlphp/attributemap/',
    'tempdir' => '{folder}/temporary',
    'loggingdir' => '{folder}/',
    'logging.handler' => 'file',
    'logging.level' => SimpleSAML\\Logger::DEBUG,
    'debug' => ['saml' => true, 'backtraces' => true, 'validatexml' => false],
    'showerrors' => true,
    'errorreporting' => false,
    'secretsalt' => '{salt}',
    'auth.adminpassword' => '{salt}',
    'technicalcontact_email' => 'it@php.example',
    'admin.checkforupdates' => false,
    'enable.saml20-idp' => true,
    'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
    'session.cookie.name' => 'SimpleSAMLSessionID',
    'session.cookie.secure' => false,
    'session.cookie.samesite' => null,
    'session.phpsession.cookiename' => 'SimpleSAML',
    'session.phpsession.savepath' => '{folder}/sessions',
    'language.cookie.secure' => false,
    'language.cookie.samesite' => null,
    'trusted.url.domains' => ['localhost'],
    'store.type' => 'phpsession',
    'metadata.sources' => array_merge(
        [['type' => 'flatfile']],
        array_map(fn($file) => ['type' => 'xml', 'file' => $file], glob('{folder}/service_provider.xml')),
    ),
];
"""
PEOPLE = """<?php
$config = [
    'people' => [
        'exampleauth:UserPass',
        'alice:{password}' => [
            'mail' => ['alice@php.example'],
            'givenName' => ['Alice'],
            'sn' => ['Archer'],
            'displayName' => ['Alice Archer'],
        ],
    ],
];
"""
HOSTED = """<?php
$metadata['{entity_id}'] = [
    'host' => '__DEFAULT__',
    'privatekey' => 'key.pem',
    'certificate' => 'certificate.pem',
    'auth' => 'people',
    'validate.authnrequest' => true,
    'validate.logout' => true,
    'sign.logout' => true,
    'NameIDFormat' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
    'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:uri',
    'authproc' => [
        3 => [
            'class' => 'saml:AttributeNameID',
            'attribute' => 'mail',
            'Format' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
        ],
        100 => ['class' => 'core:AttributeMap', 'name2oid'],
    ],
{switches}
];
"""


@dataclass
class SimpleSamlPhp:
    """A running one with one person, ``alice``."""

    address: str
    folder: Path
    password: str

    @property
    def entity_id(self) -> str:
        return f"{self.address}/saml2/idp/metadata.php"

    @property
    def metadata_url(self) -> str:
        return self.entity_id

    def know(self, service_provider: bytes) -> None:
        """Register a service provider by its metadata."""
        (self.folder / "service_provider.xml").write_bytes(service_provider)

    def switch(self, **switches: bool) -> None:
        """Set options of the identity provider, with dots for double underscores: ``assertion__encryption=True``. It reads them at once."""
        lines = [f"    '{name.replace('__', '.')}' => {str(on).lower()}," for name, on in switches.items()]
        text = HOSTED.format(entity_id=self.entity_id, switches="\n".join(lines))
        (self.folder / "saml20-idp-hosted.php").write_text(text)

    @property
    def log(self) -> str:
        return (self.folder / "simplesamlphp.log").read_text(errors="replace")[-5000:]


@contextmanager
def running_simplesamlphp(folder: Path) -> Iterator[SimpleSamlPhp]:
    for name in ("temporary", "sessions"):
        (folder / name).mkdir(parents=True)
    port = free_port()
    here = SimpleSamlPhp(
        f"http://localhost:{port}", folder, canaries.register(secrets.token_hex(12), "password at a company")
    )
    write_key_pair(folder, "simplesamlphp")
    values = {"address": here.address, "folder": folder, "salt": secrets.token_hex(16)}
    (folder / "config.php").write_text(CONFIG.format(**values))
    (folder / "authsources.php").write_text(PEOPLE.format(password=here.password))
    here.switch()
    command = [
        *ending_with_us("TERM"),
        program("php"),
        *("-d", "opcache.enable=0"),  # a changed file counts at once
        *("-d", f"session.save_path={folder}/sessions", "-d", "display_errors=0", "-d", "error_reporting=0"),
        *("-S", f"127.0.0.1:{port}", "-t", "/usr/share/simplesamlphp/www"),
    ]
    environment = {**os.environ, "SIMPLESAMLPHP_CONFIG_DIR": str(folder)}
    with (folder / "php.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(server, here), f"simplesamlphp answers; {folder}/php.log")
        yield here
    finally:
        server.terminate()
        server.wait(20)


def _answers(server: subprocess.Popen[bytes], here: SimpleSamlPhp) -> bool:
    assert server.poll() is None, (here.folder / "php.log").read_text()
    try:
        return requests.get(here.metadata_url, timeout=10).status_code == 200
    except requests.ConnectionError:
        return False
