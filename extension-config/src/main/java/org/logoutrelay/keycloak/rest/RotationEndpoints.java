package org.logoutrelay.keycloak.rest;

import java.util.Map;

import org.keycloak.models.ClientModel;
import org.keycloak.models.KeycloakSession;
import org.logoutrelay.keycloak.base.LogoutRelay;
import org.logoutrelay.keycloak.rotation.Rotations;

import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.QueryParam;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;

/**
 * How far a client's new secret has come. Whoever has the role {@code operate} is told all of it, and whoever may view the client
 * in Keycloak whether there is another secret; each with a token of their own.
 */
@Produces(MediaType.APPLICATION_JSON)
@Consumes(MediaType.APPLICATION_JSON)
public final class RotationEndpoints {
    private final KeycloakSession session;

    RotationEndpoints(KeycloakSession session) {
        this.session = session;
    }

    /** @param secret as Keycloak's Admin API has just shown it */
    public record SecretRequest(String client, String secret) {
    }

    /** Who comes with which of a client's secrets, for whoever rotates it. */
    @GET
    @Consumes(MediaType.WILDCARD)
    public Response report(@QueryParam("client") String clientId) {
        return Answer.ok(Rotations.report(session, rotated(clientId)));
    }

    /** Whether a secret that Keycloak has shown is the one of now: a node may not have heard of the change. */
    @POST
    public Response isCurrent(SecretRequest request) {
        return isCurrent(rotated(Given.body(request).client()), request.secret());
    }

    private Response isCurrent(ClientModel client, String secret) {
        return Answer.ok(Map.of("current", Rotations.isCurrent(session, session.getContext().getRealm(), client,
                Given.text(secret, "secret is missing; give the one that Keycloak shows"))));
    }

    private ClientModel rotated(String clientId) {
        new Callers(session).require("operate");
        return watched(session.getContext().getRealm().getClientByClientId(named(clientId)));
    }

    /** How far that is, and nobody's address, for an agent that puts the secret where the client reads it. */
    @GET
    @Path("state")
    @Consumes(MediaType.WILDCARD)
    public Response state(@QueryParam("client") String clientId) {
        ClientModel client = new Callers(session).requireViewed(named(clientId));
        return Answer.ok(Rotations.state(session, watched(client)));
    }

    /** The same question of whoever is shown the secret itself. */
    @POST
    @Path("state")
    public Response isCurrentOfViewed(SecretRequest request) {
        return isCurrent(watched(new Callers(session).requireViewed(named(Given.body(request).client()))), request.secret());
    }

    private static String named(String clientId) {
        return Given.text(clientId, "client is missing; give a client's client id");
    }

    private ClientModel watched(ClientModel client) {
        if (!LogoutRelay.isOn(session.getContext().getRealm())) {
            throw Problem.refusal(Response.Status.CONFLICT, "listener_off",
                    "The event listener logout-relay is off in this realm, so nobody would see a rotation: switch it on, under Realm settings, Events");
        }
        if (client == null) {
            throw Problem.refusal(Response.Status.NOT_FOUND, "not_found", "The client is not one of this realm, or no longer");
        }
        return client;
    }
}
