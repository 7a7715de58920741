"""Certificates for tests: one authority, and what it signed, as PEM files."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)
_SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


def make_certificates(directory: Path, *names: str) -> None:
    """`ca.pem`, and for each name `NAME.pem` with `NAME.key`, signed by it and good for localhost."""
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("test authority")
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())  # Python 3.13 asks for it
    ca = _builder(issuer, issuer, authority.public_key())
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
    ca = ca.add_extension(_SIGNS_CERTIFICATES, critical=True)
    _write(directory / "ca.pem", ca.sign(authority, hashes.SHA256()))
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        row = _builder(_name(name), issuer, key.public_key())
        row = row.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        row = row.add_extension(signed_by, critical=False)
        _write(directory / f"{name}.pem", row.sign(authority, hashes.SHA256()))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (directory / f"{name}.key").write_bytes(pem)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - _DAY).not_valid_after(now + _DAY)


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
