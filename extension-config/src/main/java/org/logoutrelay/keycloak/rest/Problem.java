package org.logoutrelay.keycloak.rest;

import java.util.Map;

import jakarta.ws.rs.WebApplicationException;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;

/** Why something is refused, in the form of OAuth 2.0's errors (RFC 6749 §5.2). */
final class Problem {
    private Problem() {
    }

    static WebApplicationException badRequest(String description) {
        return refusal(Response.Status.BAD_REQUEST, "invalid_request", description);
    }

    static WebApplicationException refusal(Response.Status status, String error, String description) {
        return new WebApplicationException(Response.status(status)
                .entity(Map.of("error", error, "error_description", description)).type(MediaType.APPLICATION_JSON).build());
    }
}
