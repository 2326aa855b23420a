// Scandium as a peer of ours: an echo server, a client that wants its word back, or a server for
// somebody who speaks by lines of hexadecimal digits (`heard HEX`, and what to say).
//
//   java -cp CLASSPATH Peer.java server|client|relay PORT SUITE psk|x509|rpk FOLDER [cid] [resume] [no-ems]
//
// `-Didentity=` and `-Dkey=` (hexadecimal) name another pre-shared key than device:secret.
// The folder has the certificates and keys that dtls.sh made. A client ends with status 0 once it
// has heard itself, with `resume` twice; everything ends after some seconds.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

import org.eclipse.californium.elements.AddressEndpointContext;
import org.eclipse.californium.elements.EndpointContext;
import org.eclipse.californium.elements.RawData;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConfig.DtlsRole;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.CertificateType;
import org.eclipse.californium.scandium.dtls.ExtendedMasterSecretMode;
import org.eclipse.californium.scandium.dtls.cipher.CipherSuite;
import org.eclipse.californium.scandium.dtls.pskstore.AdvancedSinglePskStore;
import org.eclipse.californium.scandium.dtls.x509.SingleCertificateProvider;
import org.eclipse.californium.scandium.dtls.x509.StaticNewAdvancedCertificateVerifier;

public class Peer {
    static final int SECONDS = 8;

    public static void main(String[] words) throws Exception {
        boolean relay = words[0].equals("relay");
        boolean server = relay || words[0].equals("server");
        int port = Integer.parseInt(words[1]);
        List<String> options = List.of(words).subList(5, words.length);
        DtlsConfig.register();
        Configuration settings = new Configuration();
        CipherSuite suite = CipherSuite.getTypeByName(words[2]);
        settings.set(DtlsConfig.DTLS_ROLE, server ? DtlsRole.SERVER_ONLY : DtlsRole.CLIENT_ONLY);
        settings.set(DtlsConfig.DTLS_RECOMMENDED_CIPHER_SUITES_ONLY, false);
        settings.set(DtlsConfig.DTLS_CIPHER_SUITES, List.of(suite));
        settings.set(DtlsConfig.DTLS_VERIFY_SERVER_CERTIFICATES_SUBJECT, false);
        if (options.contains("cid")) {
            settings.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, 6);
        }
        if (options.contains("no-ems")) {
            settings.set(DtlsConfig.DTLS_EXTENDED_MASTER_SECRET_MODE, ExtendedMasterSecretMode.NONE);
        }
        DtlsConnectorConfig.Builder builder = DtlsConnectorConfig.builder(settings);
        builder.setAddress(new InetSocketAddress("127.0.0.1", server ? port : 0));
        credentials(builder, words[3], Path.of(words[4]), server ? "server" : "client");
        DTLSConnector connector = new DTLSConnector(builder.build());
        if (relay) {
            relay(connector);
        } else if (server) {
            serve(connector);
        } else {
            System.exit(ask(connector, port, options.contains("resume")) ? 0 : 1);
        }
    }

    static void credentials(DtlsConnectorConfig.Builder builder, String kind, Path folder, String who)
            throws Exception {
        if (kind.equals("psk")) {
            byte[] key = HexFormat.of().parseHex(System.getProperty("key", "736563726574"));
            builder.setAdvancedPskStore(new AdvancedSinglePskStore(System.getProperty("identity", "device"), key));
            return;
        }
        byte[] der = Files.readAllBytes(folder.resolve(who + ".key.der"));
        PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der));
        X509Certificate own = certificate(folder.resolve(who + ".pem"));
        StaticNewAdvancedCertificateVerifier.Builder trust =
                StaticNewAdvancedCertificateVerifier.builder();
        if (kind.equals("rpk")) {
            builder.setCertificateIdentityProvider(
                    new SingleCertificateProvider(key, own.getPublicKey()));
            trust.setTrustAllRPKs();
        } else {
            X509Certificate[] chain = {own};
            builder.setCertificateIdentityProvider(
                    new SingleCertificateProvider(key, chain, CertificateType.X_509));
            trust.setTrustedCertificates(certificate(folder.resolve("ca.pem")));
        }
        builder.setAdvancedCertificateVerifier(trust.build());
    }

    static X509Certificate certificate(Path file) throws Exception {
        try (var stream = Files.newInputStream(file)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(stream);
        }
    }

    static void serve(DTLSConnector connector) throws Exception {
        connector.setRawDataReceiver(data ->
                connector.send(RawData.outbound(data.getBytes(), data.getEndpointContext(), null, false)));
        connector.start();
        System.out.println("listening");
        Thread.sleep(SECONDS * 1000L);
        connector.destroy();
    }

    static void relay(DTLSConnector connector) throws Exception {
        AtomicReference<EndpointContext> peer = new AtomicReference<>();
        connector.setRawDataReceiver(data -> {
            peer.set(data.getEndpointContext());
            System.out.println("heard " + HexFormat.of().formatHex(data.getBytes()) + " by " + peer.get());
        });
        connector.start();
        System.out.println("listening");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            connector.send(RawData.outbound(HexFormat.of().parseHex(line.strip()), peer.get(), null, false));
        }
        connector.destroy();
    }

    static boolean ask(DTLSConnector connector, int port, boolean resume) throws Exception {
        CountDownLatch[] heard = {new CountDownLatch(1), new CountDownLatch(1)};
        connector.setRawDataReceiver(data -> {
            String word = new String(data.getBytes(), StandardCharsets.UTF_8);
            System.out.println("heard " + word + " by " + data.getEndpointContext());
            heard[Integer.parseInt(word.substring(5))].countDown();
        });
        connector.start();
        boolean good = say(connector, port, "hello0", heard[0]);
        if (resume && good) {
            connector.forceResumeAllSessions();
            good = say(connector, port, "hello1", heard[1]);
        }
        connector.destroy();
        return good;
    }

    static boolean say(DTLSConnector connector, int port, String word, CountDownLatch heard)
            throws Exception {
        InetSocketAddress to = new InetSocketAddress("127.0.0.1", port);
        byte[] bytes = word.getBytes(StandardCharsets.UTF_8);
        connector.send(RawData.outbound(bytes, new AddressEndpointContext(to), null, false));
        return heard.await(SECONDS / 2, TimeUnit.SECONDS);
    }
}
