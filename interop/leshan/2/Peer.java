// A Client or a Server out of the libraries of Leshan 2, driven by lines as the one of Leshan 1 is: a
// command a line on the standard input, an answer ("answer …") or an event ("event …") a line on the
// standard output. It ends with its input. See interop/run.

import java.io.FileInputStream;
import java.net.InetAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Date;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.LeshanClientBuilder;
import org.eclipse.leshan.client.engine.DefaultRegistrationEngineFactory;
import org.eclipse.leshan.client.object.Device;
import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.client.object.Server;
import org.eclipse.leshan.client.observer.LwM2mClientObserverAdapter;
import org.eclipse.leshan.client.resource.ObjectsInitializer;
import org.eclipse.leshan.client.resource.SimpleInstanceEnabler;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.LwM2m.LwM2mVersion;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.link.lwm2m.attributes.DefaultLwM2mAttributeParser;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttributeSet;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.core.request.BootstrapRequest;
import org.eclipse.leshan.core.request.CancelObservationRequest;
import org.eclipse.leshan.core.request.DeregisterRequest;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.LeshanServerBuilder;
import org.eclipse.leshan.server.model.StaticModelProvider;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.queue.PresenceListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.servers.security.InMemorySecurityStore;
import org.eclipse.leshan.servers.security.SecurityInfo;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointsProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientProtocolProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coaps.CoapsClientProtocolProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpointsProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coap.CoapServerProtocolProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coaps.CoapsServerProtocolProvider;

public class Peer {
    static final int SAMPLER = 33555;
    static final int TEMPERATURE = 3303;

    /**
     * Peer server URI DDF… | Peer client URI ENDPOINT LIFETIME BINDING DDF… | Peer bench URI
     *
     * By system properties as with Leshan 1: `security`, `bootstrap`, `coaps`, `folder`, `key`, `identity`; `cid` is
     * the length of the connection ids of DTLS, of which there are none without it.
     */
    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("bench")) {
            bench(arguments[1]);
            System.exit(0);
        }
        boolean server = arguments[0].equals("server");
        // The Client has the Objects that Leshan gives it, as it ships; the Server speaks of those of 1.0.
        List<ObjectModel> models = new ArrayList<>(
                server ? ObjectLoader.loadDefault(LwM2mVersion.V1_0) : ObjectLoader.loadDefault());
        for (String file : Arrays.copyOfRange(arguments, server ? 2 : 5, arguments.length)) {
            models.addAll(ObjectLoader.loadDdfFile(new FileInputStream(file), file));
        }
        if (server) {
            serve(arguments[1], models);
        } else {
            connect(arguments[1], arguments[2], Long.parseLong(arguments[3]), arguments[4].contains("Q"), models);
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
            write(LwM2mServer.SYSTEM, true, resource, LwM2mSingleResource.newResource(resource, value, type));
        }

        @Override
        public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
            Lines.say("event executed /" + getModel().id + "/" + getId() + "/" + resource + " " + arguments.serialize());
            return ExecuteResponse.success();
        }

        @Override
        public List<Integer> getAvailableResourceIds(ObjectModel model) {
            List<Integer> available = new ArrayList<>();
            for (Integer id : super.getAvailableResourceIds(model)) {
                if (read(LwM2mServer.SYSTEM, id).isSuccess() || model.resources.get(id).operations.isExecutable()) {
                    available.add(id);
                }
            }
            return available;
        }

        @Override
        public void onDelete(LwM2mServer server) {
            Lines.say("event deleted /" + getModel().id + "/" + getId());
        }
    }

    /** Leshan's Device, but one that tells of its reboot instead of doing it. */
    public static class Plain extends Device {
        public Plain() {
            super("Leshan", "peer", "S-1");
        }

        @Override
        public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
            Lines.say("event executed /3/0/" + resource + " " + arguments.serialize());
            return ExecuteResponse.success();
        }
    }

    static void connect(String uri, String endpoint, long lifetime, boolean queue, List<ObjectModel> models)
            throws Exception {
        ObjectsInitializer objects = new ObjectsInitializer(new StaticModel(models));
        objects.setInstancesForObject(0, account(uri, endpoint));
        if (Boolean.getBoolean("bootstrap")) {
            objects.setClassForObject(1, Server.class);
        } else {
            objects.setInstancesForObject(1,
                    new Server(123, lifetime, EnumSet.of(BindingMode.U), false, BindingMode.U));
        }
        objects.setInstancesForObject(3, new Plain());
        Kept temperature = new Kept(0, 5700, 21.5, 5701, "Cel", 5601, 1.0, 5602, 40.0);
        objects.setInstancesForObject(TEMPERATURE, temperature);
        Map<Integer, Long> numbers = new HashMap<>();
        numbers.put(0, 1L);
        numbers.put(5, -300L);
        Kept sampler = new Kept(0, 0, "first", 1, -70000L, 2, 2.5, 3, true, 4, new byte[] {1, 2, (byte) 255}, 5,
                new Date(1700000000000L), 6, new ObjectLink(3, 0), 7, numbers, 9, 0L);
        sampler.setModel(new StaticModel(models).getObjectModel(SAMPLER));
        objects.setClassForObject(SAMPLER, Kept.class);
        objects.setInstancesForObject(SAMPLER, sampler);
        LeshanClientBuilder builder = new LeshanClientBuilder(endpoint);
        CaliforniumClientEndpointsProvider.Builder endpoints = new CaliforniumClientEndpointsProvider.Builder(
                new CoapClientProtocolProvider(), new CoapsClientProtocolProvider());
        Configuration settings = endpoints.createDefaultConfiguration();
        settings.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, Integer.getInteger("cid"));
        endpoints.setConfiguration(settings);
        endpoints.setClientAddress(InetAddress.getByName(new URI(uri).getHost()));
        builder.setEndpointsProviders(endpoints.build());
        builder.setRegistrationEngineFactory(new DefaultRegistrationEngineFactory().setQueueMode(queue));
        builder.setObjects(objects.createAll());
        LeshanClient client = builder.build();
        client.addObserver(new LwM2mClientObserverAdapter() {
            @Override
            public void onBootstrapSuccess(LwM2mServer server, BootstrapRequest request) {
                Lines.say("event bootstrapped");
            }

            @Override
            public void onBootstrapFailure(LwM2mServer server, BootstrapRequest request, ResponseCode code,
                    String message, Exception cause) {
                Lines.say("event bootstrap_failed " + code + " " + message + " " + cause);
            }

            @Override
            public void onRegistrationTimeout(LwM2mServer server, RegisterRequest request) {
                Lines.say("event registration_timeout");
            }

            @Override
            public void onRegistrationSuccess(LwM2mServer server, RegisterRequest request, String id) {
                Lines.say("event registered " + id);
            }

            @Override
            public void onRegistrationFailure(LwM2mServer server, RegisterRequest request, ResponseCode code,
                    String message, Exception cause) {
                Lines.say("event registration_failed " + code + " " + message + " " + cause);
            }

            @Override
            public void onUpdateSuccess(LwM2mServer server, UpdateRequest request) {
                Lines.say("event updated");
            }

            @Override
            public void onUpdateFailure(LwM2mServer server, UpdateRequest request, ResponseCode code, String message,
                    Exception cause) {
                Lines.say("event update_failed " + code + " " + message);
            }

            @Override
            public void onDeregistrationSuccess(LwM2mServer server, DeregisterRequest request) {
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

    // ---- security

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
                return first ? Security.noSecBootstrap(uri) : Security.noSec(uri, 123);
        }
    }

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

    // ---- the Server

    static void serve(String uri, List<ObjectModel> models) throws Exception {
        LeshanServerBuilder builder = new LeshanServerBuilder();
        InMemorySecurityStore secrets = new InMemorySecurityStore();
        CaliforniumServerEndpointsProvider.Builder endpoints = new CaliforniumServerEndpointsProvider.Builder(
                new CoapServerProtocolProvider(), new CoapsServerProtocolProvider());
        endpoints.addEndpoint(uri);
        if (System.getProperty("coaps") != null) {
            Configuration settings = endpoints.createDefaultConfiguration();
            settings.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, Integer.getInteger("cid"));
            endpoints.setConfiguration(settings);
            endpoints.addEndpoint(System.getProperty("coaps"));
            builder.setSecurityStore(secrets);
            builder.setPrivateKey(Keys.privateKey("server.key.der"));
            if (System.getProperty("identity", "x509").equals("rpk")) {
                builder.setPublicKey(Keys.publicKey("server.pub.der"));
            } else {
                builder.setCertificateChain(new X509Certificate[] {Keys.certificate("server.der")});
                builder.setTrustedCertificates(new Certificate[] {Keys.certificate("ca.der")});
            }
        }
        builder.setEndpointsProviders(endpoints.build());
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
                Lines.say("event observed " + path(observation));
            }

            @Override
            public void cancelled(Observation observation) {
                Lines.say("event cancelled " + path(observation));
            }

            @Override
            public void onResponse(SingleObservation observation, Registration registration,
                    ObserveResponse response) {
                Lines.say("event notified " + path(observation) + " " + Values.shown(response.getContent()));
            }

            @Override
            public void onResponse(CompositeObservation observation, Registration registration,
                    ObserveCompositeResponse response) {
                Lines.say("event notified composite");
            }

            @Override
            public void onError(Observation observation, Registration registration, Exception error) {
                Lines.say("event notification_failed " + path(observation) + " " + error);
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
                secrets.add(info(words[1], words[2]));
                return "done";
            }
            return obey(server, line);
        });
        server.destroy();
    }

    /** Nothing but Leshan's own work: no listeners. `heap`, `count`, `observe PATH` (with every Client). */
    static void bench(String uri) throws Exception {
        LeshanServerBuilder builder = new LeshanServerBuilder();
        builder.setEndpointsProviders(new CaliforniumServerEndpointsProvider.Builder(new CoapServerProtocolProvider())
                .addEndpoint(uri).build());
        LeshanServer server = builder.build();
        server.start();
        Lines.say("event listening");
        Bench.obey(() -> Bench.counted(server.getRegistrationService().getAllRegistrations()),
                path -> Bench.askAll(server.getRegistrationService().getAllRegistrations(),
                        (one, good, bad) -> server.send(one, new ObserveRequest(path), 30_000,
                                response -> (response.isSuccess() ? good : bad).run(), error -> bad.run())));
        server.destroy();
    }

    static String path(Observation observation) {
        return observation instanceof SingleObservation ? ((SingleObservation) observation).getPath().toString()
                : "composite";
    }

    static String words(Registration registration) {
        return registration.getEndpoint() + " lt=" + registration.getLifeTimeInSec() + " b="
                + BindingMode.toString(registration.getBindingMode()) + " lwm2m=" + registration.getLwM2mVersion()
                + " " + Arrays.toString(registration.getSortedObjectLinks());
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
                return outcome(server, registration, new WriteAttributesRequest(path,
                        new LwM2mAttributeSet(new DefaultLwM2mAttributeParser().parseUriQuery(words[3]))));
            case "forget": // cancels by a reset of the next notification
                return "cancelled " + server.getObservationService().cancelObservations(registration, path);
            case "cancel":
                for (Observation one : server.getObservationService().getObservations(registration)) {
                    if (path(one).equals(path)) {
                        return outcome(server, registration, new CancelObservationRequest((SingleObservation) one));
                    }
                }
                return "not observed";
            default:
                return outcome(server, registration,
                        (DownlinkDeviceManagementRequest<? extends LwM2mResponse>) Requests.request(words));
        }
    }

    static String outcome(LeshanServer server, Registration registration,
            DownlinkDeviceManagementRequest<? extends LwM2mResponse> request) throws InterruptedException {
        return Values.outcome(server.send(registration, request, 25_000));
    }
}
