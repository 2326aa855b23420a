// How a peer is driven: a command a line on the standard input, an answer ("answer …") or an event
// ("event …") a line on the standard output. It ends with its input. See interop/kit.py.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;

public class Lines {
    /** Does what a line says, and gives the answer. */
    interface Obeys {
        String obey(String line) throws Exception;
    }

    static synchronized void say(String line) {
        System.out.println(line.replace('\n', ' '));
        System.out.flush();
    }

    /** Until the input ends. */
    static void obey(Obeys obeys) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                say("answer " + obeys.obey(line));
            } catch (Exception fault) {
                say("answer failed " + fault);
            }
        }
    }
}
