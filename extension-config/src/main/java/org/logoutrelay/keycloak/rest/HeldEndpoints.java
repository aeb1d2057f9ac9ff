package org.logoutrelay.keycloak.rest;

import java.util.List;
import java.util.Map;
import java.util.Optional;

import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.services.managers.AuthenticationManager.AuthResult;
import org.logoutrelay.keycloak.base.Decision;

import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;

/**
 * What waits for a person's word, of one kind. Whoever has the role {@code confirm} sees it and decides, with a token of their
 * own: the relay has no such right.
 */
@Produces(MediaType.APPLICATION_JSON)
@Consumes(MediaType.APPLICATION_JSON)
public final class HeldEndpoints {
    private static final String ROLE = "confirm";

    private final KeycloakSession session;
    private final Kind kind;

    HeldEndpoints(KeycloakSession session, Kind kind) {
        this.session = session;
        this.kind = kind;
    }

    /**
     * @param name of the list in the answer
     * @param one what of them an id names
     */
    record Kind(String name, String one, Listing listing, Waiting waiting) {
    }

    interface Listing {
        List<?> of(KeycloakSession session, RealmModel realm);
    }

    /** By its id; empty where nothing of that id waits. */
    interface Waiting {
        Optional<?> decide(KeycloakSession session, RealmModel realm, String id, Decision decision);
    }

    /** @param decision {@code confirm} or {@code dismiss} */
    public record DecisionRequest(String id, String decision, String reason) {
    }

    @GET
    @Consumes(MediaType.WILDCARD)
    public Response list() {
        new Callers(session).require(ROLE);
        return Answer.ok(Map.of(kind.name(), kind.listing().of(session, session.getContext().getRealm())));
    }

    @POST
    public Response decide(DecisionRequest request) {
        AuthResult caller = new Callers(session).require(ROLE);
        String word = Given.body(request).decision();
        if (word == null || !word.matches("confirm|dismiss")) {
            throw Problem.badRequest("decision must be confirm or dismiss");
        }
        Decision decision = new Decision(word.equals("confirm"), caller.user().getId(), Given.reason(request.reason(), "it is kept"));
        return Answer.ok(kind.waiting().decide(session, session.getContext().getRealm(), request.id(), decision).orElseThrow(
                () -> Problem.badRequest("id is not that of " + kind.one() + " for a decision; GET lists them")));
    }
}
