import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Enumeration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Prints what a distribution of Keycloak can hand out, one line each: {@code factory SPI ID} for every provider of the SPIs
 * that are asked for, and {@code caller CLASS OWNER.METHOD} for every class that calls a method that is asked for. A class
 * inside another counts as the outer one. {@code OWNER.METHOD} of a store that is taken past Keycloak's own accessor is
 * {@code KeycloakSession.getProvider(STORE)}.
 *
 * <p>Arguments: the directory of the jars, the SPIs (factory interfaces, separated by commas), a regular expression for
 * {@code OWNER.METHOD}. The class path is the distribution's own.
 */
public final class Surface {
    private static final String SERVICES = "META-INF/services/";
    private static final int CLASS = 7;
    private static final int METHOD = 10;
    private static final int INTERFACE_METHOD = 11;
    private static final byte LDC = 0x12;
    private static final byte LDC_W = 0x13;
    private static final byte INVOKEINTERFACE = (byte) 0xb9;

    private Surface() {
    }

    public static void main(String[] args) throws Exception {
        Set<String> lines = new TreeSet<>();
        List<String> spis = List.of(args[1].split(","));
        Pattern methods = Pattern.compile(args[2]);
        try (Stream<Path> files = Files.list(Path.of(args[0]))) {
            for (Path file : files.filter(each -> each.getFileName().toString().startsWith("org.keycloak.")).toList()) {
                try (JarFile jar = new JarFile(file.toFile())) {
                    factories(jar, spis, lines);
                    callers(jar, methods, lines);
                }
            }
        }
        lines.forEach(System.out::println);
        // Some factories leave a thread behind when they are made.
        System.exit(0);
    }

    private static void factories(JarFile jar, List<String> spis, Set<String> lines) throws Exception {
        for (String spi : spis) {
            JarEntry entry = jar.getJarEntry(SERVICES + spi);
            if (entry == null) {
                continue;
            }
            for (String line : new String(bytes(jar, entry), StandardCharsets.UTF_8).split("\n")) {
                String name = line.replaceFirst("#.*", "").trim();
                if (!name.isEmpty()) {
                    lines.add(String.join(" ", "factory", spi.substring(spi.lastIndexOf('.') + 1), id(name)));
                }
            }
        }
    }

    private static String id(String factory) throws Exception {
        Object made = Class.forName(factory).getDeclaredConstructor().newInstance();
        return (String) made.getClass().getMethod("getId").invoke(made);
    }

    private static void callers(JarFile jar, Pattern methods, Set<String> lines) throws IOException {
        for (Enumeration<JarEntry> entries = jar.entries(); entries.hasMoreElements();) {
            JarEntry entry = entries.nextElement();
            if (entry.getName().startsWith("org/keycloak/") && entry.getName().endsWith(".class")) {
                String caller = entry.getName().replaceFirst("(\\$.*)?\\.class$", "").replace('/', '.');
                called(bytes(jar, entry)).stream().filter(each -> methods.matcher(each).matches())
                        .forEach(each -> lines.add(String.join(" ", "caller", caller, each)));
            }
        }
    }

    /** What a class calls, read from its constant pool (JVM specification §4.4): method references are there, too. */
    private static Set<String> called(byte[] file) throws IOException {
        Object[] pool = pool(file);
        Set<String> called = new HashSet<>();
        for (int i = 0; i < pool.length; i++) {
            if (pool[i] instanceof int[] ref && (ref[0] == METHOD || ref[0] == INTERFACE_METHOD)) {
                String method = text(pool, ref[2]);
                called.add(simple(text(pool, ref[1])) + "." + method);
                if (ref[0] == INTERFACE_METHOD && method.equals("getProvider")) {
                    pastAccessor(file, pool, i, called);
                }
            }
        }
        return called;
    }

    /** A class constant that is loaded just before {@code getProvider} is called is the provider that is asked for. */
    private static void pastAccessor(byte[] file, Object[] pool, int getProvider, Set<String> called) {
        for (int i = 4; i < file.length - 2; i++) {
            if (file[i] == INVOKEINTERFACE && unsignedShort(file, i + 1) == getProvider) {
                int loaded = file[i - 3] == LDC_W ? unsignedShort(file, i - 2)
                        : file[i - 2] == LDC ? Byte.toUnsignedInt(file[i - 1]) : 0;
                if (loaded > 0 && loaded < pool.length && pool[loaded] instanceof int[] ref && ref[0] == CLASS) {
                    called.add("KeycloakSession.getProvider(" + simple(text(pool, loaded)) + ")");
                }
            }
        }
    }

    private static Object[] pool(byte[] file) throws IOException {
        DataInputStream in = new DataInputStream(new ByteArrayInputStream(file));
        in.skipBytes(8);
        Object[] pool = new Object[in.readUnsignedShort()];
        for (int i = 1; i < pool.length; i++) {
            int tag = in.readUnsignedByte();
            switch (tag) {
                case 1 -> pool[i] = in.readUTF();
                case CLASS, 8, 16, 19, 20 -> pool[i] = new int[] {tag, in.readUnsignedShort()};
                case 9, METHOD, INTERFACE_METHOD, 12, 17, 18 ->
                    pool[i] = new int[] {tag, in.readUnsignedShort(), in.readUnsignedShort()};
                case 3, 4 -> in.skipBytes(4);
                case 15 -> in.skipBytes(3);
                case 5, 6 -> {
                    in.skipBytes(8);
                    i++; // takes two places
                }
                default -> throw new IOException("Constant pool tag " + tag + " is not known; the JVM specification has grown");
            }
        }
        return pool;
    }

    /** The name of a class, or of a method with its type. */
    private static String text(Object[] pool, int index) {
        return (String) pool[((int[]) pool[index])[1]];
    }

    private static int unsignedShort(byte[] file, int at) {
        return Byte.toUnsignedInt(file[at]) << 8 | Byte.toUnsignedInt(file[at + 1]);
    }

    private static byte[] bytes(JarFile jar, JarEntry entry) throws IOException {
        try (InputStream in = jar.getInputStream(entry)) {
            return in.readAllBytes();
        }
    }

    private static String simple(String name) {
        return name.substring(Math.max(name.lastIndexOf('/'), name.lastIndexOf('$')) + 1);
    }
}
