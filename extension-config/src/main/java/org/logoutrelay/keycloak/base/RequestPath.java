package org.logoutrelay.keycloak.base;

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * The path of a request or an admin event, however it is spelled: Keycloak takes {@code users/{id}/reset-password/} for the
 * same as without the slash at its end, {@code token/} as well, and writes it down as it came.
 */
public final class RequestPath {
    /** Below the path that Keycloak may be served at; a parameter further on that looks like it is none. */
    private static final String REALM = "(?:(?!realms/)[^/]+/)*realms/[^/]+/";
    private static final String OPENID_CONNECT = REALM + "protocol/openid-connect/";
    private static final Pattern TOKEN_ENDPOINT = Pattern.compile(OPENID_CONNECT + "token");
    private static final Pattern PROTOCOL = Pattern.compile(OPENID_CONNECT + ".*");
    private static final Pattern LOGIN = Pattern.compile(REALM + "(?:protocol|login-actions|broker)/.*");

    private RequestPath() {
    }

    /** Where grants are made (RFC 6749 §3.2), and nothing below it. */
    public static boolean isTokenEndpoint(String path) {
        return TOKEN_ENDPOINT.matcher(path).matches();
    }

    public static boolean isOfProtocol(String path) {
        return PROTOCOL.matcher(path).matches();
    }

    /** Where people log in, by whatever protocol, by a mailed link, or at another identity provider. */
    public static boolean isOfALogin(String path) {
        return LOGIN.matcher(path).matches();
    }

    /** Without empty segments and matrix parameters, percent-encoding undone; null stays null. */
    public static String of(String path) {
        return path == null ? null : Arrays.stream(path.split("/")).map(RequestPath::segment).filter(part -> !part.isEmpty())
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
