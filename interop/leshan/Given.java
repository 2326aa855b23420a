// What a Bootstrap-Server of Leshan gives to a Client and asks of it, as Leshan 1.5 and the first milestones of
// Leshan 2 name it: it is compiled with each.

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.eclipse.leshan.core.SecurityMode;
import org.eclipse.leshan.server.bootstrap.BootstrapConfig;
import org.eclipse.leshan.server.security.SecurityInfo;

public class Given {
    static SecurityInfo info(String endpoint, String mode) throws Exception {
        switch (mode) {
            case "psk":
                return SecurityInfo.newPreSharedKeyInfo(endpoint, endpoint, Keys.shared());
            case "rpk":
                return SecurityInfo.newRawPublicKeyInfo(endpoint, Keys.publicKey("client.pub.der"));
            default:
                return SecurityInfo.newX509CertInfo(endpoint);
        }
    }

    /** One account, with the keys of the folder; the binding is U, as Leshan has it when nothing is said. */
    static BootstrapConfig account(String endpoint, String mode, String uri) throws Exception {
        BootstrapConfig config = new BootstrapConfig();
        config.toDelete = Arrays.asList("/0", "/1");
        BootstrapConfig.ServerSecurity security = new BootstrapConfig.ServerSecurity();
        security.uri = uri;
        security.serverId = 123;
        security.bootstrapServer = false;
        switch (mode) {
            case "psk":
                security.securityMode = SecurityMode.PSK;
                security.publicKeyOrId = endpoint.getBytes(StandardCharsets.UTF_8);
                security.secretKey = Keys.shared();
                break;
            case "rpk":
                security.securityMode = SecurityMode.RPK;
                security.publicKeyOrId = Keys.bytes("client.pub.der");
                security.secretKey = Keys.bytes("client.key.der");
                security.serverPublicKey = Keys.bytes("server.pub.der");
                break;
            case "x509":
                security.securityMode = SecurityMode.X509;
                security.publicKeyOrId = Keys.bytes("client.der");
                security.secretKey = Keys.bytes("client.key.der");
                security.serverPublicKey = Keys.bytes("server.der");
                break;
            default:
                security.securityMode = SecurityMode.NO_SEC;
        }
        config.security.put(1, security);
        BootstrapConfig.ServerConfig server = new BootstrapConfig.ServerConfig();
        server.shortId = 123;
        server.lifetime = 60;
        config.servers.put(1, server);
        return config;
    }
}
