package org.logoutrelay.keycloak.trigger;

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * The path of an admin event, however the request spelled it: Keycloak takes {@code users/{id}/reset-password/} for the same
 * as without the slash at its end, and writes it down as it came.
 */
public final class AdminPath {
    private AdminPath() {
    }

    /** Without empty segments and matrix parameters, percent-encoding undone; null stays null. */
    public static String of(String path) {
        return path == null ? null : Arrays.stream(path.split("/")).map(AdminPath::segment).filter(part -> !part.isEmpty())
                .collect(Collectors.joining("/"));
    }

    private static String segment(String segment) {
        int parameter = segment.indexOf(';');
        String name = parameter < 0 ? segment : segment.substring(0, parameter);
        try {
            // A plus sign is itself in a path, and no space.
            return URLDecoder.decode(name.replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException e) {
            return name;
        }
    }
}
