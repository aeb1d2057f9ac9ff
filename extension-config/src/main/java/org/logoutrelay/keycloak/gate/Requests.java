package org.logoutrelay.keycloak.gate;

import org.keycloak.OAuth2Constants;
import org.keycloak.http.HttpRequest;
import org.keycloak.models.KeycloakSession;
import org.logoutrelay.keycloak.base.RequestPath;

import jakarta.ws.rs.core.MultivaluedHashMap;
import jakarta.ws.rs.core.MultivaluedMap;

/** What is read of the request at hand. Off a request (in a job of Keycloak's) everything is empty. */
public final class Requests {
    private Requests() {
    }

    public static MultivaluedMap<String, String> form(KeycloakSession session) {
        try {
            HttpRequest request = session.getContext().getHttpRequest();
            MultivaluedMap<String, String> form = request == null || "GET".equals(request.getHttpMethod()) ? null
                    : request.getDecodedFormParameters();
            return form == null ? new MultivaluedHashMap<>() : form;
        } catch (RuntimeException e) {
            return new MultivaluedHashMap<>();
        }
    }

    /** The grant type, at the token endpoint (RFC 6749 §3.2); a parameter of that name elsewhere says nothing. */
    public static String grantType(KeycloakSession session) {
        return RequestPath.isTokenEndpoint(path(session)) ? form(session).getFirst(OAuth2Constants.GRANT_TYPE) : null;
    }

    static String query(KeycloakSession session, String name) {
        try {
            return session.getContext().getUri().getQueryParameters().getFirst(name);
        } catch (RuntimeException e) {
            return null;
        }
    }

    /** In one form, without a slash at either end. */
    static String path(KeycloakSession session) {
        try {
            return RequestPath.of(session.getContext().getUri().getPath());
        } catch (RuntimeException e) {
            return "";
        }
    }

    /** Of the request's headers, or null. */
    public static String header(KeycloakSession session, String name) {
        try {
            return session.getContext().getRequestHeaders().getHeaderString(name);
        } catch (RuntimeException e) {
            return null;
        }
    }

    public static String address(KeycloakSession session) {
        try {
            return session.getContext().getConnection() == null ? "" : session.getContext().getConnection().getRemoteHost();
        } catch (RuntimeException e) {
            return "";
        }
    }

    /** Whether the request may change something that outlives its login. Of the protocol endpoints none does. */
    static boolean changesSomething(KeycloakSession session) {
        try {
            HttpRequest request = session.getContext().getHttpRequest();
            return request != null && !java.util.Set.of("GET", "HEAD", "OPTIONS").contains(request.getHttpMethod())
                    && !RequestPath.isOfProtocol(path(session));
        } catch (RuntimeException e) {
            return false;
        }
    }

    /** What an old session was used for, in one word: {@code refresh_token}, {@code introspection}, {@code account}... */
    static String kind(KeycloakSession session) {
        String path = path(session);
        String grant = grantType(session);
        if (grant != null) {
            return grant.substring(grant.lastIndexOf(':') + 1);
        }
        return path.contains("/introspect") ? "introspection" : path.contains("/userinfo") ? "userinfo"
                : path.contains("/protocol/") ? "single-sign-on" : path.contains("/account") ? "account"
                : path.contains("/login-actions/") || path.contains("/broker/") ? Refusals.LOGIN : "other";
    }
}
