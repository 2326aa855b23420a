// The keys and certificates of the folder that the system property `folder` names, and the key in hex that
// `key` has: interop/cases/secured.py makes them.

import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.HexFormat;

public class Keys {
    static byte[] bytes(String file) throws Exception {
        return Files.readAllBytes(Path.of(System.getProperty("folder"), file));
    }

    static byte[] shared() {
        return HexFormat.of().parseHex(System.getProperty("key", ""));
    }

    static PrivateKey privateKey(String file) throws Exception {
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(bytes(file)));
    }

    static PublicKey publicKey(String file) throws Exception {
        return KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(bytes(file)));
    }

    static X509Certificate certificate(String file) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509")
                .generateCertificate(new ByteArrayInputStream(bytes(file)));
    }
}
