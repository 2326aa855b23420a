// A Client or a Server made of nothing but Californium, with no LwM2M below it, driven by lines: the Client
// as interop/aiocoap/peer.py, the Server by the requests that it is told to send. See interop/cases/raw_*.py.
//
//   java Peer client PORT SERVER_URI | java Peer server PORT | java Peer bench PORT

import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.eclipse.californium.core.CoapClient;
import org.eclipse.californium.core.CoapHandler;
import org.eclipse.californium.core.CoapObserveRelation;
import org.eclipse.californium.core.CoapResource;
import org.eclipse.californium.core.CoapResponse;
import org.eclipse.californium.core.CoapServer;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.core.observe.ObserveRelation;
import org.eclipse.californium.core.server.resources.CoapExchange;
import org.eclipse.californium.core.server.resources.Resource;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.elements.config.UdpConfig;

public class Peer {
    static final int TEXT = 0;
    static final int LINK = 40;
    static final int JSON = 11543;
    static final int PATIENCE_MS = 20_000;

    public static void main(String[] words) throws Exception {
        CoapConfig.register();
        UdpConfig.register();
        Configuration settings = new Configuration();
        settings.set(CoapConfig.MAX_RESOURCE_BODY_SIZE, 65_536);
        settings.set(CoapConfig.PREFERRED_BLOCK_SIZE, 256);
        settings.set(CoapConfig.MAX_MESSAGE_SIZE, 256);
        CoapEndpoint endpoint = CoapEndpoint.builder().setConfiguration(settings)
                .setInetSocketAddress(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[1]))).build();
        CoapServer server = new CoapServer(settings);
        server.addEndpoint(endpoint);
        if (words[0].equals("client")) {
            client(server, endpoint, words[2]);
        } else if (words[0].equals("server")) {
            server(server, endpoint);
        } else {
            bench(server);
        }
        server.destroy();
        System.exit(0);
    }

    // ---- the Client

    /** A node of the path that answers nothing by itself. */
    static class Level extends CoapResource {
        Level(String name, Resource... children) {
            super(name);
            for (Resource child : children) {
                add(child);
            }
        }

        @Override
        public void handleGET(CoapExchange exchange) {
            exchange.respond(ResponseCode.NOT_FOUND);
        }
    }

    static boolean acceptable(CoapExchange exchange, int format) {
        int accept = exchange.getRequestOptions().getAccept();
        if (accept != -1 && accept != format) {
            exchange.respond(ResponseCode.NOT_ACCEPTABLE);
            return false;
        }
        return true;
    }

    /** A Resource as text. */
    static class Value extends CoapResource {
        volatile String value;

        Value(int id, String value) {
            super(String.valueOf(id));
            this.value = value;
        }

        @Override
        public void handleGET(CoapExchange exchange) {
            if (acceptable(exchange, TEXT)) {
                exchange.respond(ResponseCode.CONTENT, value, TEXT);
            }
        }
    }

    static class Watched extends Value {
        Watched(int id, String value) {
            super(id, value);
            setObservable(true);
        }

        @Override
        public void addObserveRelation(ObserveRelation relation) {
            super.addObserveRelation(relation);
            Lines.say("event observers " + getURI() + " " + getObserverCount());
        }

        @Override
        public void removeObserveRelation(ObserveRelation relation) {
            super.removeObserveRelation(relation);
            Lines.say("event observers " + getURI() + " " + getObserverCount());
        }
    }

    static class Writable extends Value {
        Writable(int id, String value) {
            super(id, value);
        }

        @Override
        public void handlePUT(CoapExchange exchange) {
            int format = exchange.getRequestOptions().getContentFormat();
            if (format != TEXT && format != -1) {
                exchange.respond(ResponseCode.UNSUPPORTED_CONTENT_FORMAT);
                return;
            }
            value = exchange.getRequestText();
            Lines.say("event written " + getURI() + " " + value.length());
            exchange.respond(ResponseCode.CHANGED);
        }
    }

    /** The acknowledgement goes first and the answer by itself (RFC 7252 5.2.2). */
    static class Slow extends Value {
        Slow(int id, String value) {
            super(id, value);
        }

        @Override
        public void handleGET(CoapExchange exchange) {
            if (!acceptable(exchange, TEXT)) {
                return;
            }
            exchange.accept();
            try {
                Thread.sleep(300);
            } catch (InterruptedException ended) {
                return;
            }
            exchange.respond(ResponseCode.CONTENT, value, TEXT);
        }
    }

    static class Executable extends CoapResource {
        Executable(int id) {
            super(String.valueOf(id));
        }

        @Override
        public void handlePOST(CoapExchange exchange) {
            Lines.say("event executed " + getURI() + " " + exchange.getRequestText());
            exchange.respond(ResponseCode.CHANGED);
        }
    }

    /** An instance that only knows the JSON of LwM2M 1.0. */
    static class Instance extends Level {
        Instance(Resource... children) {
            super("0", children);
        }

        @Override
        public void handleGET(CoapExchange exchange) {
            StringBuilder said = new StringBuilder();
            boolean links = exchange.getRequestOptions().getAccept() == LINK;
            if (!links && !acceptable(exchange, JSON)) {
                return;
            }
            said.append(links ? "<" + getURI() + ">" : "{\"bn\":\"" + getURI() + "/\",\"e\":[");
            String comma = links ? "," : "";
            for (Resource child : getChildren()) {
                String value = child instanceof Value ? ((Value) child).value : "";
                said.append(comma);
                if (links) {
                    said.append("<").append(child.getURI()).append(">");
                } else if (child instanceof Watched) {
                    said.append("{\"n\":\"" + child.getName() + "\",\"v\":" + value + "}");
                } else {
                    said.append("{\"n\":\"" + child.getName() + "\",\"sv\":\"" + value + "\"}");
                }
                comma = ",";
            }
            exchange.respond(ResponseCode.CONTENT, said + (links ? "" : "]}"), links ? LINK : JSON);
        }
    }

    static void client(CoapServer server, CoapEndpoint endpoint, String uri) throws Exception {
        Watched temperature = new Watched(5700, "21.5");
        server.add(new Level("3", new Instance(new Value(0, "californium"), new Slow(1, "slow"))));
        server.add(new Level("3303", new Instance(temperature, new Value(5701, "Cel"))));
        server.add(new Level("33555", new Instance(new Writable(0, "first"), new Executable(8))));
        server.start();
        Lines.say("event listening");
        Lines.obey(line -> {
            String[] words = line.split(" ", 5);
            switch (words[0]) {
                case "temperature":
                    temperature.value = words[1];
                    temperature.changed();
                    return "done";
                case "request":
                    return ask(endpoint, words[1], uri + words[2], words.length > 3 ? words[3] : null,
                            words.length > 4 ? words[4] : "");
                default:
                    return "unknown";
            }
        });
    }

    /** What comes back. The format is that of the payload, or `accept:NUMBER`, or nothing. */
    static String ask(CoapEndpoint endpoint, String method, String address, String format, String text)
            throws Exception {
        Request request = new Request(Code.valueOf(method), Type.CON);
        request.setURI(address);
        if (format != null && format.startsWith("accept:")) {
            request.getOptions().setAccept(Integer.parseInt(format.substring(7)));
        } else if (format != null) {
            request.getOptions().setContentFormat(Integer.parseInt(format));
            request.setPayload(expanded(text));
        }
        CoapResponse response = new CoapClient().setTimeout((long) PATIENCE_MS).setEndpoint(endpoint).advanced(request);
        return response == null ? "timeout" : shown(response);
    }

    static String shown(CoapResponse response) {
        int format = response.getOptions().getContentFormat();
        String body = format == 11542 || format == 42 ? hex(response.getPayload()) : response.getResponseText();
        return response.getCode().text + " /" + response.getOptions().getLocationPathString() + " " + body;
    }

    static String hex(byte[] bytes) {
        StringBuilder said = new StringBuilder();
        for (byte one : bytes) {
            said.append(String.format("%02x", one));
        }
        return said.toString();
    }

    static String expanded(String text) {
        if (!text.startsWith("links:")) {
            return text;
        }
        StringBuilder links = new StringBuilder("</1/0>,</3/0>");
        for (int one = 0; one < Integer.parseInt(text.substring(6)); one++) {
            links.append(",</3303/").append(one).append('>');
        }
        return links.toString();
    }

    // ---- the Server

    /** Where each endpoint registered from. */
    static final Map<String, InetSocketAddress> registered = new HashMap<>();
    static final Map<String, CoapObserveRelation> observed = new LinkedHashMap<>();

    static class Directory extends CoapResource {
        Directory() {
            super("rd");
        }

        @Override
        public void handlePOST(CoapExchange exchange) {
            String name = exchange.getQueryParameter("ep");
            if (name == null) {
                exchange.respond(ResponseCode.BAD_REQUEST);
                return;
            }
            registered.put(name, exchange.getSourceSocketAddress());
            if (getChild(name) == null) {
                add(new Location(name));
            }
            exchange.setLocationPath("rd/" + name);
            exchange.respond(ResponseCode.CREATED);
            Lines.say("event registered " + name + " " + exchange.getRequestOptions().getUriQueryString() + " "
                    + exchange.getRequestText());
        }
    }

    static class Location extends CoapResource {
        Location(String name) {
            super(name);
        }

        @Override
        public void handlePOST(CoapExchange exchange) {
            exchange.respond(ResponseCode.CHANGED);
            Lines.say("event updated " + getName());
        }

        @Override
        public void handleDELETE(CoapExchange exchange) {
            exchange.respond(ResponseCode.DELETED);
            delete();
            Lines.say("event deregistered " + getName());
        }
    }

    /** request METHOD EP PATH [FORMAT TEXT], observe EP PATH, cancel PATH, forget PATH, ping EP. */
    static void server(CoapServer server, CoapEndpoint endpoint) throws Exception {
        server.add(new Directory());
        server.start();
        Lines.say("event listening");
        Lines.obey(line -> obey(endpoint, line.split(" ", 6)));
    }

    /** An /rd that keeps the name and the links, and does nothing else. `heap`, `count`. */
    static void bench(CoapServer server) throws Exception {
        Map<String, String> kept = new ConcurrentHashMap<>();
        AtomicInteger number = new AtomicInteger();
        server.add(new CoapResource("rd") {
            @Override
            public void handlePOST(CoapExchange exchange) {
                String location = Integer.toString(number.incrementAndGet());
                kept.put(location, exchange.getQueryParameter("ep") + exchange.getRequestText());
                exchange.setLocationPath("rd/" + location);
                exchange.respond(ResponseCode.CREATED);
            }

            @Override
            public Resource getChild(String location) {
                return kept.containsKey(location) ? answering : null;
            }

            final CoapResource answering = new CoapResource("") {
                @Override
                public void handlePOST(CoapExchange exchange) {
                    exchange.respond(ResponseCode.CHANGED);
                }

                @Override
                public void handleDELETE(CoapExchange exchange) {
                    kept.remove(exchange.getRequestOptions().getUriPath().get(1));
                    exchange.respond(ResponseCode.DELETED);
                }
            };
        });
        server.start();
        Lines.say("event listening");
        Bench.obey(kept::size, path -> 0);
    }

    static String address(String name, String path) {
        InetSocketAddress at = registered.get(name);
        return "coap://" + at.getAddress().getHostAddress() + ":" + at.getPort() + path;
    }

    static String obey(CoapEndpoint endpoint, String[] words) throws Exception {
        switch (words[0]) {
            case "request":
                return ask(endpoint, words[1], address(words[2], words[3]), words.length > 4 ? words[4] : null,
                        words.length > 5 ? words[5] : "");
            case "observe":
                return observe(endpoint, words[1], words[2]);
            case "cancel":
                observed.remove(words[1]).proactiveCancel();
                return "done";
            case "forget": // the next notification is answered with Reset
                observed.remove(words[1]).reactiveCancel();
                return "done";
            case "ping":
                CoapClient pinger = new CoapClient(address(words[1], "/")).setEndpoint(endpoint);
                return pinger.ping(5000L) ? "pong" : "silence";
            default:
                return "unknown";
        }
    }

    static String observe(CoapEndpoint endpoint, String name, String path) throws Exception {
        Request request = new Request(Code.GET, Type.CON);
        request.setURI(address(name, path));
        request.setObserve();
        CompletableFuture<String> first = new CompletableFuture<>();
        CoapHandler handler = new CoapHandler() {
            @Override
            public void onLoad(CoapResponse response) {
                if (!first.complete(shown(response))) {
                    Lines.say("event notified " + path + " " + shown(response));
                }
            }

            @Override
            public void onError() {
                Lines.say("event observation_failed " + path);
            }
        };
        CoapClient observer = new CoapClient().setEndpoint(endpoint);
        observed.put(path, observer.observe(request, handler));
        return first.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
    }
}
