// A Client or a Server out of the libraries of Leshan 1.5, driven by lines: a command a line on
// the standard input, an answer ("answer …") or an event ("event …") a line on the standard
// output. It ends with its input. See interop/run.

import java.io.FileInputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.leshan.client.californium.LeshanClient;
import org.eclipse.leshan.client.californium.LeshanClientBuilder;
import org.eclipse.leshan.client.object.Device;
import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.client.object.Server;
import org.eclipse.leshan.client.observer.LwM2mClientObserverAdapter;
import org.eclipse.leshan.client.resource.ObjectsInitializer;
import org.eclipse.leshan.client.resource.SimpleInstanceEnabler;
import org.eclipse.leshan.client.servers.ServerIdentity;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.attributes.AttributeSet;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.core.request.BootstrapRequest;
import org.eclipse.leshan.core.request.CancelObservationRequest;
import org.eclipse.leshan.core.request.DeregisterRequest;
import org.eclipse.leshan.core.request.DownlinkRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.bootstrap.BootstrapFailureCause;
import org.eclipse.leshan.server.bootstrap.BootstrapSession;
import org.eclipse.leshan.server.bootstrap.DefaultBootstrapSessionManager;
import org.eclipse.leshan.server.bootstrap.InMemoryBootstrapConfigStore;
import org.eclipse.leshan.server.californium.LeshanServer;
import org.eclipse.leshan.server.californium.LeshanServerBuilder;
import org.eclipse.leshan.server.californium.bootstrap.LeshanBootstrapServer;
import org.eclipse.leshan.server.californium.bootstrap.LeshanBootstrapServerBuilder;
import org.eclipse.leshan.server.model.StaticModelProvider;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.queue.PresenceListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.server.security.BootstrapSecurityStore;
import org.eclipse.leshan.server.security.InMemorySecurityStore;
import org.eclipse.leshan.server.security.SecurityInfo;

public class Peer {
    static final int SAMPLER = 33555;
    static final int TEMPERATURE = 3303;

    /**
     * Peer server URI DDF… | Peer client URI ENDPOINT LIFETIME BINDING DDF… | Peer bootstrap URI | Peer bench URI
     *
     * By system properties: `security` (psk, rpk, x509) for a Client at a coaps URI, `bootstrap` when that URI is
     * of a Bootstrap-Server, `coaps` for the secured URI of a server, `folder` with keys and certificates, `key`
     * in hex; the PSK identity is the endpoint name.
     */
    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("bootstrap")) {
            bootstrap(new URI(arguments[1]));
            System.exit(0);
        }
        if (arguments[0].equals("bench")) {
            bench(new URI(arguments[1]));
            System.exit(0);
        }
        boolean server = arguments[0].equals("server");
        String uri = arguments[1];
        List<ObjectModel> models = ObjectLoader.loadDefault();
        for (String file : Arrays.copyOfRange(arguments, server ? 2 : 5, arguments.length)) {
            models.addAll(ObjectLoader.loadDdfFile(new FileInputStream(file), file));
        }
        if (server) {
            serve(new URI(uri), models);
        } else {
            long lifetime = Long.parseLong(arguments[3]);
            connect(uri, arguments[2], lifetime, BindingMode.valueOf(arguments[4]), models);
        }
        System.exit(0);
    }

    // ---- the Client

    /** An instance that keeps what is written and tells what is executed. */
    public static class Kept extends SimpleInstanceEnabler {
        public Kept() {
            super();
        }

        Kept(int id, Object... values) {
            super(id, values);
        }

        void set(int resource, Object value, Type type) {
            write(ServerIdentity.SYSTEM, resource, LwM2mSingleResource.newResource(resource, value, type));
        }

        @Override
        public ExecuteResponse execute(ServerIdentity identity, int resource, String parameters) {
            Lines.say("event executed /" + getModel().id + "/" + getId() + "/" + resource + " " + parameters);
            return ExecuteResponse.success();
        }

        @Override
        public List<Integer> getAvailableResourceIds(ObjectModel model) {
            List<Integer> available = new ArrayList<>();
            for (Integer id : super.getAvailableResourceIds(model)) {
                if (read(ServerIdentity.SYSTEM, id).isSuccess() || model.resources.get(id).operations.isExecutable()) {
                    available.add(id);
                }
            }
            return available;
        }

        @Override
        public void onDelete(ServerIdentity identity) {
            Lines.say("event deleted /" + getModel().id + "/" + getId());
        }
    }

    /** Leshan's Device, but one that tells of its reboot instead of doing it. */
    public static class Plain extends Device {
        public Plain() {
            super("Leshan", "peer", "S-1", "U");
        }

        @Override
        public ExecuteResponse execute(ServerIdentity identity, int resource, String parameters) {
            Lines.say("event executed /3/0/" + resource + " " + parameters);
            return ExecuteResponse.success();
        }
    }

    static void connect(String uri, String endpoint, long lifetime, BindingMode binding, List<ObjectModel> models)
            throws Exception {
        ObjectsInitializer objects = new ObjectsInitializer(new StaticModel(models));
        objects.setInstancesForObject(0, account(uri, endpoint));
        if (Boolean.getBoolean("bootstrap")) {
            objects.setClassForObject(1, Server.class);
        } else {
            objects.setInstancesForObject(1, new Server(123, lifetime, binding, false));
        }
        objects.setInstancesForObject(3, new Plain());
        Kept temperature = new Kept(0, 5700, 21.5, 5701, "Cel", 5601, 1.0, 5602, 40.0);
        objects.setInstancesForObject(TEMPERATURE, temperature);
        Map<Integer, Long> numbers = new HashMap<>();
        numbers.put(0, 1L);
        numbers.put(5, -300L);
        Kept sampler = new Kept(0, 0, "first", 1, -70000L, 2, 2.5, 3, true, 4, new byte[] {1, 2, (byte) 255}, 5,
                new Date(1700000000000L), 6, new ObjectLink(3, 0), 9, 0L);
        sampler.setModel(new StaticModel(models).getObjectModel(SAMPLER));
        sampler.write(ServerIdentity.SYSTEM, 7, LwM2mMultipleResource.newIntegerResource(7, numbers));
        objects.setClassForObject(SAMPLER, Kept.class);
        objects.setInstancesForObject(SAMPLER, sampler);
        LeshanClientBuilder builder = new LeshanClientBuilder(endpoint);
        builder.setLocalAddress(new URI(uri).getHost(), 0);
        builder.setObjects(objects.createAll());
        LeshanClient client = builder.build();
        client.addObserver(new LwM2mClientObserverAdapter() {
            @Override
            public void onBootstrapSuccess(ServerIdentity server, BootstrapRequest request) {
                Lines.say("event bootstrapped");
            }

            @Override
            public void onBootstrapFailure(ServerIdentity server, BootstrapRequest request, ResponseCode code,
                    String message, Exception cause) {
                Lines.say("event bootstrap_failed " + code + " " + message + " " + cause);
            }

            @Override
            public void onRegistrationTimeout(ServerIdentity server, RegisterRequest request) {
                Lines.say("event registration_timeout");
            }

            @Override
            public void onRegistrationSuccess(ServerIdentity server, RegisterRequest request, String id) {
                Lines.say("event registered " + id);
            }

            @Override
            public void onRegistrationFailure(ServerIdentity server, RegisterRequest request, ResponseCode code,
                    String message, Exception cause) {
                Lines.say("event registration_failed " + code + " " + message + " " + cause);
            }

            @Override
            public void onUpdateSuccess(ServerIdentity server, UpdateRequest request) {
                Lines.say("event updated");
            }

            @Override
            public void onUpdateFailure(ServerIdentity server, UpdateRequest request, ResponseCode code,
                    String message, Exception cause) {
                Lines.say("event update_failed " + code + " " + message);
            }

            @Override
            public void onDeregistrationSuccess(ServerIdentity server, DeregisterRequest request) {
                Lines.say("event deregistered");
            }
        });
        client.start();
        Lines.obey(line -> {
            String[] words = line.split(" ", 2);
            switch (words[0]) {
                case "temperature":
                    temperature.set(5700, Double.valueOf(words[1]), Type.FLOAT);
                    return "done";
                case "update":
                    client.triggerRegistrationUpdate();
                    return "done";
                case "stop":
                    client.stop(true);
                    return "done";
                default:
                    return "unknown " + line;
            }
        });
        client.destroy(false);
    }

    // ---- security and bootstrap

    static Security account(String uri, String endpoint) throws Exception {
        boolean first = Boolean.getBoolean("bootstrap");
        byte[] identity = endpoint.getBytes(StandardCharsets.UTF_8);
        switch (System.getProperty("security", "none")) {
            case "psk":
                return first ? Security.pskBootstrap(uri, identity, Keys.shared())
                        : Security.psk(uri, 123, identity, Keys.shared());
            case "rpk":
                return first
                        ? Security.rpkBootstrap(uri, Keys.bytes("client.pub.der"), Keys.bytes("client.key.der"),
                                Keys.bytes("server.pub.der"))
                        : Security.rpk(uri, 123, Keys.bytes("client.pub.der"), Keys.bytes("client.key.der"),
                                Keys.bytes("server.pub.der"));
            case "x509":
                return first
                        ? Security.x509Bootstrap(uri, Keys.bytes("client.der"), Keys.bytes("client.key.der"),
                                Keys.bytes("server.der"))
                        : Security.x509(uri, 123, Keys.bytes("client.der"), Keys.bytes("client.key.der"),
                                Keys.bytes("server.der"));
            default:
                return first ? Security.noSecBootstap(uri) : Security.noSec(uri, 123);
        }
    }

    /** A Bootstrap-Server: `config ENDPOINT MODE SERVER_URI` says what a Client is given, `secure ENDPOINT MODE`. */
    static void bootstrap(URI uri) throws Exception {
        InMemoryBootstrapConfigStore configs = new InMemoryBootstrapConfigStore();
        Map<String, SecurityInfo> secrets = new HashMap<>();
        BootstrapSecurityStore store = new BootstrapSecurityStore() {
            @Override
            public List<SecurityInfo> getAllByEndpoint(String endpoint) {
                return secrets.containsKey(endpoint) ? Arrays.asList(secrets.get(endpoint)) : null;
            }

            @Override
            public SecurityInfo getByIdentity(String identity) {
                return secrets.get(identity);
            }
        };
        LeshanBootstrapServerBuilder builder = new LeshanBootstrapServerBuilder();
        builder.setLocalAddress(uri.getHost(), uri.getPort());
        builder.setConfigStore(configs);
        builder.setSecurityStore(store);
        builder.setSessionManager(new DefaultBootstrapSessionManager(store) {
            @Override
            public void end(BootstrapSession session) {
                Lines.say("event bootstrap_ended " + session.getEndpoint());
            }

            @Override
            public void failed(BootstrapSession session, BootstrapFailureCause cause) {
                Lines.say("event bootstrap_failed " + session.getEndpoint() + " " + cause);
            }
        });
        String coaps = System.getProperty("coaps");
        if (coaps == null) {
            builder.disableSecuredEndpoint();
        } else {
            builder.setLocalSecureAddress(new URI(coaps).getHost(), new URI(coaps).getPort());
            builder.setPrivateKey(Keys.privateKey("server.key.der"));
            builder.setPublicKey(Keys.publicKey("server.pub.der"));
        }
        LeshanBootstrapServer server = builder.build();
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
    }

    // ---- the Server

    static void serve(URI uri, List<ObjectModel> models) throws Exception {
        LeshanServerBuilder builder = new LeshanServerBuilder();
        builder.setLocalAddress(uri.getHost(), uri.getPort());
        InMemorySecurityStore secrets = new InMemorySecurityStore();
        String coaps = System.getProperty("coaps");
        if (coaps == null) {
            builder.disableSecuredEndpoint();
        } else {
            builder.setLocalSecureAddress(new URI(coaps).getHost(), new URI(coaps).getPort());
            builder.setSecurityStore(secrets);
            builder.setPrivateKey(Keys.privateKey("server.key.der"));
            if (System.getProperty("identity", "x509").equals("rpk")) {
                builder.setPublicKey(Keys.publicKey("server.pub.der"));
            } else {
                builder.setCertificateChain(new X509Certificate[] {Keys.certificate("server.der")});
                builder.setTrustedCertificates(new Certificate[] {Keys.certificate("ca.der")});
            }
        }
        builder.setObjectModelProvider(new StaticModelProvider(models));
        LeshanServer server = builder.build();
        server.getRegistrationService().addListener(new RegistrationListener() {
            @Override
            public void registered(Registration registration, Registration previous, Collection<Observation> ended) {
                Lines.say("event registered " + words(registration) + (previous == null ? "" : " replaced"));
            }

            @Override
            public void updated(RegistrationUpdate update, Registration registration, Registration previous) {
                Lines.say("event updated " + words(registration));
            }

            @Override
            public void unregistered(Registration registration, Collection<Observation> ended, boolean expired,
                    Registration next) {
                Lines.say("event deregistered " + registration.getEndpoint() + (expired ? " expired" : ""));
            }
        });
        server.getObservationService().addListener(new ObservationListener() {
            @Override
            public void newObservation(Observation observation, Registration registration) {
                Lines.say("event observed " + observation.getPath());
            }

            @Override
            public void cancelled(Observation observation) {
                Lines.say("event cancelled " + observation.getPath());
            }

            @Override
            public void onResponse(Observation observation, Registration registration, ObserveResponse response) {
                Lines.say("event notified " + observation.getPath() + " " + Values.shown(response.getContent()));
            }

            @Override
            public void onError(Observation observation, Registration registration, Exception error) {
                Lines.say("event notification_failed " + observation.getPath() + " " + error);
            }
        });
        if (server.getPresenceService() != null) {
            server.getPresenceService().addListener(new PresenceListener() {
                @Override
                public void onAwake(Registration registration) {
                    Lines.say("event awake " + registration.getEndpoint());
                }

                @Override
                public void onSleeping(Registration registration) {
                    Lines.say("event asleep " + registration.getEndpoint());
                }
            });
        }
        server.start();
        Lines.say("event listening");
        Lines.obey(line -> {
            String[] words = line.split(" ");
            if (words[0].equals("secure")) { // ENDPOINT MODE
                secrets.add(Given.info(words[1], words[2]));
                return "done";
            }
            return obey(server, line);
        });
        server.destroy();
    }

    /** Nothing but Leshan's own work: no listeners. `heap`, `count`, `observe PATH` (with every Client). */
    static void bench(URI uri) throws Exception {
        LeshanServerBuilder builder = new LeshanServerBuilder();
        builder.setLocalAddress(uri.getHost(), uri.getPort());
        builder.disableSecuredEndpoint();
        LeshanServer server = builder.build();
        server.start();
        Lines.say("event listening");
        Bench.obey(() -> Bench.counted(server.getRegistrationService().getAllRegistrations()),
                path -> Bench.askAll(server.getRegistrationService().getAllRegistrations(),
                        (one, good, bad) -> server.send(one, new ObserveRequest(path), 30_000,
                                response -> (response.isSuccess() ? good : bad).run(), error -> bad.run())));
        server.destroy();
    }

    static String words(Registration registration) {
        return registration.getEndpoint() + " lt=" + registration.getLifeTimeInSec() + " b="
                + registration.getBindingMode() + " lwm2m=" + registration.getLwM2mVersion() + " "
                + Arrays.toString(registration.getSortedObjectLinks());
    }

    /** VERB ENDPOINT PATH [MORE…] */
    static String obey(LeshanServer server, String line) throws Exception {
        String[] words = line.split(" ", 5);
        Registration registration = server.getRegistrationService().getByEndpoint(words[1]);
        if (registration == null) {
            return "no registration";
        }
        String path = words[2];
        switch (words[0]) {
            case "attributes":
                return outcome(server, registration, new WriteAttributesRequest(path, AttributeSet.parse(words[3])));
            case "forget": // cancels by a reset of the next notification
                return "cancelled " + server.getObservationService().cancelObservations(registration, path);
            case "cancel":
                for (Observation one : server.getObservationService().getObservations(registration)) {
                    if (one.getPath().toString().equals(path)) {
                        return outcome(server, registration, new CancelObservationRequest(one));
                    }
                }
                return "not observed";
            default:
                return outcome(server, registration,
                        (DownlinkRequest<? extends LwM2mResponse>) Requests.request(words));
        }
    }

    static String outcome(LeshanServer server, Registration registration,
            DownlinkRequest<? extends LwM2mResponse> request) throws InterruptedException {
        return Values.outcome(server.send(registration, request, 25_000));
    }
}
