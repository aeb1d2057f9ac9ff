package org.logoutrelay.keycloak.rest;

import org.keycloak.models.KeycloakSession;
import org.keycloak.services.managers.AuthenticationManager.AuthResult;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.settle.AfterCommit;
import org.logoutrelay.keycloak.trigger.Trigger;

import com.fasterxml.jackson.annotation.JsonProperty;

import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.POST;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;

/**
 * A person's or a program's own word, with a token of their own: the relay only passes it on, so that a stolen relay
 * can ask for nothing. Policy decides what it causes, and whether it causes anything.
 */
@Produces(MediaType.APPLICATION_JSON)
@Consumes(MediaType.APPLICATION_JSON)
public final class ContainEndpoints {
    private final KeycloakSession session;
    private final AfterCommit afterCommit;

    ContainEndpoints(KeycloakSession session, AfterCommit afterCommit) {
        this.session = session;
        this.afterCommit = afterCommit;
    }

    /**
     * @param user the user's id or user name
     * @param client instead of it: a client's client id or id
     */
    public record ContainRequest(String user, String client, String reason, @JsonProperty("dry_run") Boolean dryRun, Boolean confirm) {
    }

    @POST
    public Response contain(ContainRequest request) {
        Callers callers = new Callers(session);
        AuthResult caller = callers.require("operate");
        boolean ofClient = Given.body(request).client() != null;
        if (ofClient && request.user() != null) {
            throw Problem.badRequest("user and client are both there; give one of them");
        }
        String subject = ofClient ? Given.text(request.client(), "client is empty; give a client's client id or id")
                : Given.text(request.user(), "user is missing; give a user's id or user name, or client");
        String reason = Given.reason(request.reason(), "it goes into the evidence");
        boolean confirmed = Boolean.TRUE.equals(request.confirm());
        if (confirmed && !callers.has(caller, "confirm")) {
            throw Problem.refusal(Response.Status.FORBIDDEN, "insufficient_scope",
                    "To confirm takes the role confirm of the client " + Callers.CLIENT);
        }
        Trigger.Asked asked = new Trigger.Asked(Ids.next(), caller.user().getId(), caller.token().getIssuedFor(), reason);
        OperatorContainment containment = new OperatorContainment(session, session.getContext().getRealm(), afterCommit);
        boolean dryRun = Boolean.TRUE.equals(request.dryRun());
        return Answer.ok(ofClient ? containment.answerForClient(subject, dryRun, confirmed, asked)
                : containment.answerForUser(subject, dryRun, confirmed, asked));
    }
}
