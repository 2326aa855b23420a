// A Client or a Server out of the libraries of Leshan 2, driven by lines as the one of Leshan 1 is: a
// command a line on the standard input, an answer ("answer …") or an event ("event …") a line on the
// standard output. It ends with its input. See interop/run.

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
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
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.core.request.BootstrapRequest;
import org.eclipse.leshan.core.request.CancelObservationRequest;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DeleteRequest;
import org.eclipse.leshan.core.request.DeregisterRequest;
import org.eclipse.leshan.core.request.DiscoverRequest;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.RegisterRequest;
import org.eclipse.leshan.core.request.UpdateRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.CreateResponse;
import org.eclipse.leshan.core.response.DiscoverResponse;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.util.Hex;
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

    static synchronized void say(String line) {
        System.out.println(line.replace('\n', ' '));
        System.out.flush();
    }

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
            say("event executed /" + getModel().id + "/" + getId() + "/" + resource + " " + arguments.serialize());
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
            say("event deleted /" + getModel().id + "/" + getId());
        }
    }

    /** Leshan's Device, but one that tells of its reboot instead of doing it. */
    public static class Plain extends Device {
        public Plain() {
            super("Leshan", "peer", "S-1");
        }

        @Override
        public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
            say("event executed /3/0/" + resource + " " + arguments.serialize());
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
                say("event bootstrapped");
            }

            @Override
            public void onBootstrapFailure(LwM2mServer server, BootstrapRequest request, ResponseCode code,
                    String message, Exception cause) {
                say("event bootstrap_failed " + code + " " + message + " " + cause);
            }

            @Override
            public void onRegistrationTimeout(LwM2mServer server, RegisterRequest request) {
                say("event registration_timeout");
            }

            @Override
            public void onRegistrationSuccess(LwM2mServer server, RegisterRequest request, String id) {
                say("event registered " + id);
            }

            @Override
            public void onRegistrationFailure(LwM2mServer server, RegisterRequest request, ResponseCode code,
                    String message, Exception cause) {
                say("event registration_failed " + code + " " + message + " " + cause);
            }

            @Override
            public void onUpdateSuccess(LwM2mServer server, UpdateRequest request) {
                say("event updated");
            }

            @Override
            public void onUpdateFailure(LwM2mServer server, UpdateRequest request, ResponseCode code, String message,
                    Exception cause) {
                say("event update_failed " + code + " " + message);
            }

            @Override
            public void onDeregistrationSuccess(LwM2mServer server, DeregisterRequest request) {
                say("event deregistered");
            }
        });
        client.start();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ", 2);
            switch (words[0]) {
                case "temperature":
                    temperature.set(5700, Double.valueOf(words[1]), Type.FLOAT);
                    say("answer done");
                    break;
                case "update":
                    client.triggerRegistrationUpdate();
                    say("answer done");
                    break;
                case "stop":
                    client.stop(true);
                    say("answer done");
                    break;
                default:
                    say("answer unknown " + line);
            }
        }
        client.destroy(false);
    }

    // ---- security

    static byte[] bytes(String file) throws Exception {
        return Files.readAllBytes(Path.of(System.getProperty("folder"), file));
    }

    static byte[] key() {
        return Hex.decodeHex(System.getProperty("key", "").toCharArray());
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

    static Security account(String uri, String endpoint) throws Exception {
        boolean first = Boolean.getBoolean("bootstrap");
        byte[] identity = endpoint.getBytes(StandardCharsets.UTF_8);
        switch (System.getProperty("security", "none")) {
            case "psk":
                return first ? Security.pskBootstrap(uri, identity, key()) : Security.psk(uri, 123, identity, key());
            case "rpk":
                return first
                        ? Security.rpkBootstrap(uri, bytes("client.pub.der"), bytes("client.key.der"),
                                bytes("server.pub.der"))
                        : Security.rpk(uri, 123, bytes("client.pub.der"), bytes("client.key.der"),
                                bytes("server.pub.der"));
            case "x509":
                return first
                        ? Security.x509Bootstrap(uri, bytes("client.der"), bytes("client.key.der"),
                                bytes("server.der"))
                        : Security.x509(uri, 123, bytes("client.der"), bytes("client.key.der"), bytes("server.der"));
            default:
                return first ? Security.noSecBootstrap(uri) : Security.noSec(uri, 123);
        }
    }

    static SecurityInfo info(String endpoint, String mode) throws Exception {
        switch (mode) {
            case "psk":
                return SecurityInfo.newPreSharedKeyInfo(endpoint, endpoint, key());
            case "rpk":
                return SecurityInfo.newRawPublicKeyInfo(endpoint, publicKey("client.pub.der"));
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
            builder.setPrivateKey(privateKey("server.key.der"));
            if (System.getProperty("identity", "x509").equals("rpk")) {
                builder.setPublicKey(publicKey("server.pub.der"));
            } else {
                builder.setCertificateChain(new X509Certificate[] {certificate("server.der")});
                builder.setTrustedCertificates(new Certificate[] {certificate("ca.der")});
            }
        }
        builder.setEndpointsProviders(endpoints.build());
        builder.setObjectModelProvider(new StaticModelProvider(models));
        LeshanServer server = builder.build();
        server.getRegistrationService().addListener(new RegistrationListener() {
            @Override
            public void registered(Registration registration, Registration previous, Collection<Observation> ended) {
                say("event registered " + words(registration) + (previous == null ? "" : " replaced"));
            }

            @Override
            public void updated(RegistrationUpdate update, Registration registration, Registration previous) {
                say("event updated " + words(registration));
            }

            @Override
            public void unregistered(Registration registration, Collection<Observation> ended, boolean expired,
                    Registration next) {
                say("event deregistered " + registration.getEndpoint() + (expired ? " expired" : ""));
            }
        });
        server.getObservationService().addListener(new ObservationListener() {
            @Override
            public void newObservation(Observation observation, Registration registration) {
                say("event observed " + path(observation));
            }

            @Override
            public void cancelled(Observation observation) {
                say("event cancelled " + path(observation));
            }

            @Override
            public void onResponse(SingleObservation observation, Registration registration,
                    ObserveResponse response) {
                say("event notified " + path(observation) + " " + shown(response.getContent()));
            }

            @Override
            public void onResponse(CompositeObservation observation, Registration registration,
                    ObserveCompositeResponse response) {
                say("event notified composite");
            }

            @Override
            public void onError(Observation observation, Registration registration, Exception error) {
                say("event notification_failed " + path(observation) + " " + error);
            }
        });
        if (server.getPresenceService() != null) {
            server.getPresenceService().addListener(new PresenceListener() {
                @Override
                public void onAwake(Registration registration) {
                    say("event awake " + registration.getEndpoint());
                }

                @Override
                public void onSleeping(Registration registration) {
                    say("event asleep " + registration.getEndpoint());
                }
            });
        }
        server.start();
        say("event listening");
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            try {
                String[] words = line.split(" ");
                if (words[0].equals("secure")) { // ENDPOINT MODE
                    secrets.add(info(words[1], words[2]));
                    say("answer done");
                    continue;
                }
                say("answer " + obey(server, line));
            } catch (Exception error) {
                say("answer failed " + error);
            }
        }
        server.destroy();
    }

    /** Nothing but Leshan's own work: no listeners. `heap`, `count`, `observe PATH` (with every Client). */
    static void bench(String uri) throws Exception {
        LeshanServerBuilder builder = new LeshanServerBuilder();
        builder.setEndpointsProviders(new CaliforniumServerEndpointsProvider.Builder(new CoapServerProtocolProvider())
                .addEndpoint(uri).build());
        LeshanServer server = builder.build();
        server.start();
        say("event listening");
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ");
            if (words[0].equals("heap")) {
                System.gc();
                say("answer " + (Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory()));
            } else if (words[0].equals("count")) {
                int count = 0;
                for (var all = server.getRegistrationService().getAllRegistrations(); all.hasNext(); all.next()) {
                    count++;
                }
                say("answer " + count);
            } else {
                say("answer " + observeAll(server, words[1]));
            }
        }
        server.destroy();
    }

    static int observeAll(LeshanServer server, String path) throws Exception {
        Semaphore underWay = new Semaphore(64);
        AtomicInteger good = new AtomicInteger();
        for (var all = server.getRegistrationService().getAllRegistrations(); all.hasNext();) {
            underWay.acquire();
            server.send(all.next(), new ObserveRequest(path), 30_000, response -> {
                if (response.isSuccess()) {
                    good.incrementAndGet();
                }
                underWay.release();
            }, error -> underWay.release());
        }
        underWay.acquire(64);
        return good.get();
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
        String third = words.length > 3 ? words[3] : null;
        DownlinkDeviceManagementRequest<? extends LwM2mResponse> request;
        switch (words[0]) {
            case "read":
                request = new ReadRequest(format(third), path);
                break;
            case "write": // ENDPOINT PATH FORMAT TYPE:VALUE
                request = new WriteRequest(WriteRequest.Mode.REPLACE, format(third), path, node(path, words[4]));
                break;
            case "update": // the same, partial: an instance with the Resources ID=TYPE:VALUE
                request = new WriteRequest(WriteRequest.Mode.UPDATE, format(third), path, instance(path, words[4]));
                break;
            case "replace":
                request = new WriteRequest(WriteRequest.Mode.REPLACE, format(third), path, instance(path, words[4]));
                break;
            case "execute":
                request = new ExecuteRequest(path, third);
                break;
            case "observe":
                request = new ObserveRequest(format(third), path);
                break;
            case "discover":
                request = new DiscoverRequest(path);
                break;
            case "attributes":
                request = new WriteAttributesRequest(path,
                        new LwM2mAttributeSet(new DefaultLwM2mAttributeParser().parseUriQuery(third)));
                break;
            case "create": // ENDPOINT OBJECT FORMAT RESOURCES, an instance id after the object if wanted
                String[] ids = path.substring(1).split("/");
                int object = Integer.parseInt(ids[0]);
                List<LwM2mResource> resources = resources(words[4]);
                request = ids.length > 1
                        ? new CreateRequest(format(third), object,
                                new LwM2mObjectInstance(Integer.parseInt(ids[1]), resources))
                        : new CreateRequest(format(third), object, resources);
                break;
            case "delete":
                request = new DeleteRequest(path);
                break;
            case "forget": // cancels by a reset of the next notification
                return "cancelled " + server.getObservationService().cancelObservations(registration, path);
            case "cancel":
                for (Observation one : server.getObservationService().getObservations(registration)) {
                    if (path(one).equals(path)) {
                        return outcome(server.send(registration,
                                new CancelObservationRequest((SingleObservation) one), 8000));
                    }
                }
                return "not observed";
            default:
                return "unknown " + line;
        }
        return outcome(server.send(registration, request, 8000));
    }

    static String outcome(LwM2mResponse response) {
        if (response == null) {
            return "timeout";
        }
        ResponseCode code = response.getCode();
        String said = code.getCode() / 100 + "." + String.format("%02d", code.getCode() % 100);
        if (response instanceof ReadResponse && ((ReadResponse) response).getContent() != null) {
            said += " " + shown(((ReadResponse) response).getContent());
        } else if (response instanceof DiscoverResponse && ((DiscoverResponse) response).getObjectLinks() != null) {
            said += " " + Arrays.toString(((DiscoverResponse) response).getObjectLinks());
        } else if (response instanceof CreateResponse) {
            said += " " + ((CreateResponse) response).getLocation();
        } else if (response.getErrorMessage() != null) {
            said += " " + response.getErrorMessage();
        }
        return said;
    }

    static String shown(LwM2mNode node) {
        if (node instanceof LwM2mSingleResource && ((LwM2mSingleResource) node).getValue() instanceof byte[]) {
            return "bytes=" + Base64.getEncoder().encodeToString((byte[]) ((LwM2mSingleResource) node).getValue());
        }
        return String.valueOf(node);
    }

    static ContentFormat format(String name) {
        if (name == null || name.equals("-")) {
            return null;
        }
        return ContentFormat.fromName(name);
    }

    static LwM2mNode node(String path, String value) {
        return resource(Integer.parseInt(path.substring(path.lastIndexOf('/') + 1)), value);
    }

    static LwM2mNode instance(String path, String values) {
        return new LwM2mObjectInstance(Integer.parseInt(path.split("/")[2]), resources(values));
    }

    static List<LwM2mResource> resources(String values) {
        List<LwM2mResource> resources = new ArrayList<>();
        for (String one : values.split(" ")) {
            String[] parts = one.split("=", 2);
            resources.add(resource(Integer.parseInt(parts[0]), parts[1]));
        }
        return resources;
    }

    static LwM2mResource resource(int id, String value) {
        String[] parts = value.split(":", 2);
        switch (parts[0]) {
            case "s":
                return LwM2mSingleResource.newStringResource(id, parts[1]);
            case "i":
                return LwM2mSingleResource.newIntegerResource(id, Long.parseLong(parts[1]));
            case "f":
                return LwM2mSingleResource.newFloatResource(id, Double.parseDouble(parts[1]));
            case "b":
                return LwM2mSingleResource.newBooleanResource(id, Boolean.parseBoolean(parts[1]));
            case "o":
                return LwM2mSingleResource.newBinaryResource(id, Base64.getDecoder().decode(parts[1]));
            case "t":
                return LwM2mSingleResource.newDateResource(id, new Date(Long.parseLong(parts[1]) * 1000));
            case "l":
                String[] link = parts[1].split(":");
                return LwM2mSingleResource.newObjectLinkResource(id,
                        new ObjectLink(Integer.parseInt(link[0]), Integer.parseInt(link[1])));
            case "m": // m:0=5,3=7
                Map<Integer, Long> numbers = new HashMap<>();
                for (String one : parts[1].split(",")) {
                    numbers.put(Integer.parseInt(one.split("=")[0]), Long.parseLong(one.split("=")[1]));
                }
                return LwM2mMultipleResource.newIntegerResource(id, numbers);
            default:
                throw new IllegalArgumentException(value);
        }
    }
}
