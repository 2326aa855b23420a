// Values, formats and answers as words of a line, the same in both lines of Leshan: it is compiled with each.

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.node.LwM2mMultipleResource;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.ObjectLink;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.response.CreateResponse;
import org.eclipse.leshan.core.response.DiscoverResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ReadResponse;

public class Values {
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
