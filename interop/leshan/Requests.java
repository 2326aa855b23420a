// The requests of a line, VERB ENDPOINT PATH [MORE…], as both lines of Leshan name them: it is compiled with
// each. What they call the family of all requests is not the same, so the caller says it with a cast.

import java.util.List;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DeleteRequest;
import org.eclipse.leshan.core.request.DiscoverRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteRequest;

public class Requests {
    static Object request(String[] words) {
        String path = words[2];
        String third = words.length > 3 ? words[3] : null;
        switch (words[0]) {
            case "read":
                return new ReadRequest(Values.format(third), path);
            case "write": // ENDPOINT PATH FORMAT TYPE:VALUE
                return new WriteRequest(WriteRequest.Mode.REPLACE, Values.format(third), path,
                        Values.node(path, words[4]));
            case "update": // the same, partial: an instance with the Resources ID=TYPE:VALUE
                return new WriteRequest(WriteRequest.Mode.UPDATE, Values.format(third), path,
                        Values.instance(path, words[4]));
            case "replace":
                return new WriteRequest(WriteRequest.Mode.REPLACE, Values.format(third), path,
                        Values.instance(path, words[4]));
            case "execute":
                return new ExecuteRequest(path, third);
            case "observe":
                return new ObserveRequest(Values.format(third), path);
            case "discover":
                return new DiscoverRequest(path);
            case "create": // ENDPOINT OBJECT FORMAT RESOURCES, an instance id after the object if wanted
                String[] ids = path.substring(1).split("/");
                int object = Integer.parseInt(ids[0]);
                List<LwM2mResource> resources = Values.resources(words[4]);
                return ids.length > 1
                        ? new CreateRequest(Values.format(third), object,
                                new LwM2mObjectInstance(Integer.parseInt(ids[1]), resources))
                        : new CreateRequest(Values.format(third), object, resources);
            case "delete":
                return new DeleteRequest(path);
            default:
                throw new IllegalArgumentException(String.join(" ", words));
        }
    }
}
