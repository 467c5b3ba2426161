"""Certificates with known facts: what the model needs to know about one is written down when it is made."""
import dataclasses
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(eq=False)
class Made:
    name: str
    subject: str               # as RFC 4514 prints it
    subject_attributes: list   # [("CN", "leaf-a"), ...]
    issuer: "Made"             # itself when self-signed
    period: str                # "past", "now", "future"
    eku: set | None            # None: no extension
    dns: list
    key_id: str
    self_signed: bool
    pem: str = ""
    key_pem: str = ""
    sha1: str = ""
    sha256: str = ""
    spki: str = ""             # SHA-256 of its key, lower-case hex
    serial: str = ""
    not_before: str = ""
    not_after: str = ""
    key: object = None
    certificate: object = None
    revocation: str = ""       # what is said when somebody asks: "good", "slow" (good, but later), "revoked", "hang"; "": nobody to ask

    @property
    def issuer_name(self):
        return self.issuer.subject


class Pki:
    def __init__(self, now):
        self.now = now.replace(microsecond=0)
        self.made = {}
        self.keys = {}

    def make(self, name, issuer=None, *, ca=False, period="now", eku=frozenset({"client"}), dns=(), key=None, o="Example",
             revocation="", ocsp=None):
        key_id = key or name
        private = self.keys.setdefault(key_id, ec.generate_private_key(ec.SECP256R1()))
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, o), x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = Made(name=name, subject=f"CN={name},O={o}", subject_attributes=[("CN", name), ("O", o)], issuer=None, period=period,
                    eku=None if ca or eku is None else set(eku), dns=list(dns), key_id=key_id, self_signed=issuer is None)
        made.issuer, made.revocation = issuer or made, revocation
        begin, end = {"past": (-20, -10), "now": (-5, 300), "future": (10, 30)}[period]
        not_before, not_after = self.now + begin * DAY, self.now + end * DAY
        builder = (x509.CertificateBuilder().subject_name(subject)
                   .issuer_name(issuer.certificate.subject if issuer else subject)
                   .public_key(private.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(not_before).not_valid_after(not_after)
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
                   .add_extension(x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False,
                                                key_encipherment=False, data_encipherment=False, key_agreement=False,
                                                encipher_only=False, decipher_only=False), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False))
        if issuer:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        if made.eku:
            oids = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}
            builder = builder.add_extension(x509.ExtendedKeyUsage([oids[e] for e in sorted(made.eku)]), critical=False)
        if dns:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(d) for d in dns]), critical=False)
        if ocsp:
            where = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))
            builder = builder.add_extension(x509.AuthorityInformationAccess([where]), critical=False)
        certificate = builder.sign(issuer.key if issuer else private, hashes.SHA256())
        made.certificate, made.key = certificate, private
        made.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        made.key_pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                             serialization.NoEncryption()).decode()
        made.sha1 = certificate.fingerprint(hashes.SHA1()).hex().upper()
        made.sha256 = certificate.fingerprint(hashes.SHA256()).hex().upper()
        made.spki = self.spki_sha256(made)
        number = certificate.serial_number
        made.serial = number.to_bytes(number.bit_length() // 8 + 1, "big").hex().upper()
        made.not_before, made.not_after = (t.strftime("%Y-%m-%dT%H:%M:%SZ") for t in (not_before, not_after))
        self.made[name] = made
        return made

    def spki_sha256(self, made):
        digest = hashes.Hash(hashes.SHA256())
        digest.update(made.certificate.public_key().public_bytes(serialization.Encoding.DER,
                                                                 serialization.PublicFormat.SubjectPublicKeyInfo))
        return digest.finalize().hex()
