"""Certificates and revocation lists that end while a test looks on, which `gatehousectl cert new`, counting in days, does not make."""
import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class ShortLived:
    """What an authority of the harness's PKI issues for seconds."""

    def __init__(self, pki, ca="ca"):
        self.pki = pki
        self.certificate = self.load(ca)
        self.key = serialization.load_pem_private_key(pathlib.Path(pki.key(ca)).read_bytes(), None)

    def load(self, name):
        return x509.load_pem_x509_certificate(pathlib.Path(self.pki.pem(name)).read_bytes())

    def leaf(self, name, life):
        """A client's certificate that ends after `life` seconds."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow()
        certificate = (x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
                       .issuer_name(self.certificate.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
                       .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(seconds=life))
                       .add_extension(x509.BasicConstraints(False, None), True)
                       .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False).sign(self.key, hashes.SHA256()))
        pathlib.Path(self.pki.pem(name)).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pathlib.Path(self.pki.key(name)).write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def crl(self, number, life=3600, revoked=()):
        """The path of a list with this number, which is out of date after `life` seconds."""
        now = datetime.datetime.utcnow()
        crl = (x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject).last_update(now - datetime.timedelta(minutes=1))
               .next_update(now + datetime.timedelta(seconds=life)).add_extension(x509.CRLNumber(number), False))
        for name in revoked:
            crl = crl.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(self.load(name).serial_number).revocation_date(now).build())
        path = self.pki.folder / f"{number}.crl"
        path.write_bytes(crl.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path
