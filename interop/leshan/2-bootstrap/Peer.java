// A Bootstrap-Server out of the libraries of Leshan 2, of the last milestone whose Bootstrap-Server the registry
// has. Driven as that of Leshan 1 is: `config ENDPOINT MODE SERVER_URI` says what a Client is given,
// `secure ENDPOINT MODE` how it is known. See interop/run.

import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.leshan.core.peer.OscoreIdentity;
import org.eclipse.leshan.server.bootstrap.BootstrapFailureCause;
import org.eclipse.leshan.server.bootstrap.BootstrapSession;
import org.eclipse.leshan.server.bootstrap.BootstrapSessionAdapter;
import org.eclipse.leshan.server.bootstrap.InMemoryBootstrapConfigStore;
import org.eclipse.leshan.server.bootstrap.LeshanBootstrapServer;
import org.eclipse.leshan.server.bootstrap.LeshanBootstrapServerBuilder;
import org.eclipse.leshan.server.californium.bootstrap.endpoint.CaliforniumBootstrapServerEndpointsProvider;
import org.eclipse.leshan.server.californium.bootstrap.endpoint.coap.CoapBootstrapServerProtocolProvider;
import org.eclipse.leshan.server.californium.bootstrap.endpoint.coaps.CoapsBootstrapServerProtocolProvider;
import org.eclipse.leshan.server.security.BootstrapSecurityStore;
import org.eclipse.leshan.server.security.SecurityInfo;

public class Peer {
    /** Peer bootstrap URI; by system properties `coaps`, `folder`, `key`, `cid` as with the other peers. */
    public static void main(String[] arguments) throws Exception {
        InMemoryBootstrapConfigStore configs = new InMemoryBootstrapConfigStore();
        Map<String, SecurityInfo> secrets = new HashMap<>();
        CaliforniumBootstrapServerEndpointsProvider.Builder endpoints =
                new CaliforniumBootstrapServerEndpointsProvider.Builder(new CoapBootstrapServerProtocolProvider(),
                        new CoapsBootstrapServerProtocolProvider());
        endpoints.setConfiguration(
                settings -> settings.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, Integer.getInteger("cid")));
        endpoints.addEndpoint(arguments[1]);
        LeshanBootstrapServerBuilder builder = new LeshanBootstrapServerBuilder();
        if (System.getProperty("coaps") != null) {
            endpoints.addEndpoint(System.getProperty("coaps"));
            builder.setPrivateKey(Keys.privateKey("server.key.der"));
            builder.setPublicKey(Keys.publicKey("server.pub.der"));
        }
        builder.setEndpointsProviders(endpoints.build());
        builder.setConfigStore(configs);
        builder.setSecurityStore(new BootstrapSecurityStore() {
            @Override
            public Iterator<SecurityInfo> getAllByEndpoint(String endpoint) {
                return secrets.containsKey(endpoint) ? Collections.singleton(secrets.get(endpoint)).iterator() : null;
            }

            @Override
            public SecurityInfo getByIdentity(String identity) {
                return secrets.get(identity);
            }

            @Override
            public SecurityInfo getByOscoreIdentity(OscoreIdentity identity) {
                return null;
            }
        });
        LeshanBootstrapServer server = builder.build();
        server.addListener(new BootstrapSessionAdapter() {
            @Override
            public void end(BootstrapSession session) {
                Lines.say("event bootstrap_ended " + session.getEndpoint());
            }

            @Override
            public void failed(BootstrapSession session, BootstrapFailureCause cause) {
                Lines.say("event bootstrap_failed " + session.getEndpoint() + " " + cause);
            }
        });
        server.start();
        Lines.say("event listening");
        Lines.obey(line -> {
            String[] words = line.split(" ");
            if (words[0].equals("secure")) {
                secrets.put(words[1], Given.info(words[1], words[2]));
            } else {
                configs.add(words[1], Given.account(words[1], words[2], words[3]));
            }
            return "done";
        });
        server.destroy();
        System.exit(0);
    }
}
