"""XML signature and encryption inside the process, in the place of pysaml2's xmlsec1 program.

Signing is lxml and cryptography, checking is signxml, encryption is RSA-OAEP with AES-GCM.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from lxml import etree
from saml2 import SamlBase
from saml2.entity import Entity
from saml2.sigver import CryptoBackend, RSACrypto, SignatureError, pre_encrypt_assertion
from signxml import SignatureConfiguration, XMLVerifier
from signxml.exceptions import InvalidInput, InvalidSignature

DS = "{http://www.w3.org/2000/09/xmldsig#}"
ENCRYPTED = """
<xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element">
<xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/>
<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>
<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p">
<ds:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"/></xenc:EncryptionMethod>
<xenc:CipherData><xenc:CipherValue>{key}</xenc:CipherValue></xenc:CipherData>
</xenc:EncryptedKey></ds:KeyInfo>
<xenc:CipherData><xenc:CipherValue>{data}</xenc:CipherValue></xenc:CipherData>
</xenc:EncryptedData>"""


def use_here(entity: Entity, key_file: Path) -> None:
    """Give a pysaml2 entity this backend. It must be configured with ``crypto_backend: XMLSecurity``, which is never called."""
    private = load_pem_private_key(key_file.read_bytes(), None)
    entity.sec.crypto = InProcess()
    entity.sec.sec_backend = RSACrypto(private)  # signs and checks redirects
    if entity.metadata is not None:
        entity.metadata.security.crypto = entity.sec.crypto


class InProcess(CryptoBackend):
    """What pysaml2 asks of a backend; files are named because the programs that it usually calls read files."""

    version = "1.0"

    def sign_statement(self, statement: object, node_name: str, key_file: str, node_id: str) -> str:
        """Fill in the signature that pysaml2 has prepared in the element ``node_id`` (RSA-SHA256, exclusive C14N)."""
        private = load_pem_private_key(Path(key_file).read_bytes(), None)
        assert isinstance(private, RSAPrivateKey)
        root = _parse(statement)
        (element,) = root.xpath("//*[@ID=$id]", id=node_id)
        signature = element.find(f"{DS}Signature")
        place = element.index(signature)
        element.remove(signature)
        digest = hashlib.sha256(_canonical(element)).digest()
        element.insert(place, signature)
        signature.find(f".//{DS}DigestValue").text = base64.b64encode(digest).decode()
        signed = private.sign(_canonical(signature.find(f"{DS}SignedInfo")), padding.PKCS1v15(), SHA256())
        signature.find(f"{DS}SignatureValue").text = base64.b64encode(signed).decode()
        return etree.tostring(root, encoding="unicode")

    def validate_signature(self, signedtext: str, cert_file: str, cert_type: str, node_name: str, node_id: str) -> bool:
        """Whether the whole message, which must be the element ``node_id``, was signed by the certificate's key."""
        root = _parse(signedtext)
        if root.get("ID") != node_id:
            raise SignatureError("only whole messages are signed here")
        certificate = load_pem_x509_certificate(Path(cert_file).read_bytes())
        try:
            XMLVerifier().verify(
                root,
                x509_cert=certificate,
                expect_config=SignatureConfiguration(location="./", expect_references=1),
                id_attribute="ID",
            )
        except (InvalidSignature, InvalidInput) as error:
            raise SignatureError(type(error).__name__) from None
        return True

    def encrypt_assertion(
        self, statement: object, enc_key: str, template: object, key_type: str = "", node_xpath: str | None = None
    ) -> str:
        """Encrypt the assertion of a Response (pysaml2's template, which means Triple DES, is not used)."""
        root = _parse(pre_encrypt_assertion(statement) if isinstance(statement, SamlBase) else statement)
        (assertion,) = root.xpath("*[local-name()='EncryptedAssertion']/*")
        public = load_pem_x509_certificate(Path(enc_key).read_bytes()).public_key()
        assert isinstance(public, RSAPublicKey)
        key, nonce = AESGCM.generate_key(256), secrets.token_bytes(12)
        data = nonce + AESGCM(key).encrypt(nonce, _canonical(assertion), None)
        wrapped = public.encrypt(
            key, padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)
        )  # SHA-1: what the identifier says
        encrypted = ENCRYPTED.format(key=base64.b64encode(wrapped).decode(), data=base64.b64encode(data).decode())
        assertion.getparent().replace(assertion, etree.fromstring("".join(encrypted.splitlines())))
        return etree.tostring(root, encoding="unicode")


def _parse(message: object) -> etree._Element:
    """A message as pysaml2 hands it over: bytes, text, or an object of its own that becomes text."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(message if isinstance(message, bytes) else str(message).encode(), parser)


def _canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
