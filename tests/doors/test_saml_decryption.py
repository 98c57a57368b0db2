"""What is encrypted for us: the ways that are accepted, and what is refused before and after a key was touched."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from lxml import etree

from idp.doors.saml_decryption import decrypt
from idp.doors.saml_document import SamlRefused
from tests.fakes.company_idp import CIPHERS, DS, XENC, XENC11, encrypted
from tests.saml_parties import sp_key

OURS = sp_key()
PLAIN = etree.fromstring("<a>Ünïcode</a>")
WRITTEN = etree.tostring(PLAIN)


def part(root: etree._Element, name: str) -> etree._Element:
    return next(root.iter(f"{{{XENC}}}{name}"))


def reason_of(change: Callable[[etree._Element], object], *, cipher: str = "aes256-gcm") -> str:
    sealed = encrypted(PLAIN, OURS.certificate, cipher)
    change(sealed)
    with pytest.raises(SamlRefused) as caught:
        decrypt(sealed, [OURS])
    return caught.value.reason


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("oaep", ["rsa-oaep-mgf1p", "rsa-oaep"])
@pytest.mark.parametrize("beside", [False, True], ids=["within", "beside"])
def test_what_products_send_is_opened(cipher: str, oaep: str, beside: bool) -> None:
    assert decrypt(encrypted(PLAIN, OURS.certificate, cipher, oaep, beside=beside), [sp_key("x"), OURS]) == WRITTEN


def test_mask_and_digest_come_in_either_order() -> None:
    sealed = encrypted(PLAIN, OURS.certificate, oaep="rsa-oaep")
    method = part(part(sealed, "EncryptedKey"), "EncryptionMethod")
    method.insert(0, method[1])
    assert method[0].tag == f"{{{XENC11}}}MGF"
    assert decrypt(sealed, [OURS]) == WRITTEN


@pytest.mark.parametrize(
    "algorithm", [XENC + "tripledes-cbc", XENC + "kw-aes256", XENC11 + "aes256-ctr", "", "urn:x", XENC + "rsa-1_5"]
)
def test_other_algorithms_are_refused(algorithm: str) -> None:
    for number in (0, 1):  # of the content, of the key
        assert (
            reason_of(
                lambda sealed, number=number: list(sealed.iter(f"{{{XENC}}}EncryptionMethod"))[number].set(
                    "Algorithm", algorithm
                )
            )
            == "saml_algorithm_weak"
        )


@pytest.mark.parametrize("name", ["OAEPparams", "KeySize"])
def test_parameters_that_we_do_not_know_are_refused(name: str) -> None:
    for number in (0, 1):

        def change(sealed: etree._Element, number: int = number) -> None:
            method = list(sealed.iter(f"{{{XENC}}}EncryptionMethod"))[number]
            etree.SubElement(method, f"{{{XENC}}}{name}").text = "AAAA"

        assert reason_of(change) == "saml_structure_wrong"


def test_content_of_another_type_is_refused() -> None:
    assert (
        reason_of(lambda sealed: part(sealed, "EncryptedData").set("Type", XENC + "Content")) == "saml_structure_wrong"
    )


def test_a_key_for_another_cipher_is_refused_as_any_other_failure() -> None:
    def shorter(sealed: etree._Element) -> None:
        part(sealed, "EncryptionMethod").set("Algorithm", XENC11 + "aes128-gcm")

    assert reason_of(shorter) == "saml_decryption_failed"


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("length", [0, 1, 11, 12, 15, 16, 17, 27, 28, 31, 33])
def test_contents_that_are_cut_are_refused_alike(cipher: str, length: int) -> None:
    def cut(sealed: etree._Element) -> None:
        value = list(sealed.iter(f"{{{XENC}}}CipherValue"))[-1]
        value.text = base64.b64encode(base64.b64decode(value.text or "")[:length]).decode()

    assert reason_of(cut, cipher=cipher) == "saml_decryption_failed"


def test_a_wrapped_key_of_any_length_is_refused_alike() -> None:
    for length in (0, 1, 255, 257, 5000):

        def other(sealed: etree._Element, length: int = length) -> None:
            part(sealed, "CipherValue").text = base64.b64encode(b"\x01" * length).decode()

        assert reason_of(other) == "saml_decryption_failed"


def test_with_no_key_of_ours_nothing_is_opened() -> None:
    sealed = encrypted(PLAIN, OURS.certificate)
    key_info = part(sealed, "EncryptedKey").find(f"{{{DS}}}KeyInfo")
    assert key_info is not None
    part(sealed, "EncryptedKey").remove(key_info)
    for keys in ([], [sp_key("another")]):
        with pytest.raises(SamlRefused) as caught:
            decrypt(sealed, keys)
        assert caught.value.reason == "saml_decryption_failed"
