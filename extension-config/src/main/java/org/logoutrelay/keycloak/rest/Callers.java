package org.logoutrelay.keycloak.rest;

import org.keycloak.models.AdminRoles;
import org.keycloak.models.ClientModel;
import org.keycloak.models.Constants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.RoleModel;
import org.keycloak.representations.AccessToken;
import org.keycloak.services.managers.AppAuthManager;
import org.keycloak.services.managers.AuthenticationManager.AuthResult;
import org.keycloak.services.resources.admin.AdminAuth;
import org.keycloak.services.resources.admin.fgap.AdminPermissions;
import org.keycloak.services.resources.admin.fgap.ClientPermissionEvaluator;
import org.logoutrelay.keycloak.trigger.Policy;

import jakarta.ws.rs.ForbiddenException;
import jakarta.ws.rs.NotAuthorizedException;
import jakarta.ws.rs.core.Response;

/** Who may ask: the relay's service account, and people and programs with a token of their own. */
final class Callers {
    static final String CLIENT = "logout-relay";

    private final KeycloakSession session;

    Callers(KeycloakSession session) {
        this.session = session;
    }

    /** Only a service account: what the relay may ask, no person need. The relay's own client needs no entry in a list. */
    RealmModel requireRelay(String role) {
        if (require(role, CLIENT).user().getServiceAccountClientLink() == null) {
            throw new ForbiddenException();
        }
        return session.getContext().getRealm();
    }

    AuthResult require(String role) {
        return require(role, null);
    }

    /**
     * Whoever may read clients by Keycloak's own Admin API, through whichever client: there the same token reads their
     * secrets, and who has sessions at them from which address.
     */
    RealmModel requireViewOfClients() {
        if (!has(authenticated(), Constants.REALM_MANAGEMENT_CLIENT_ID, AdminRoles.VIEW_CLIENTS)) {
            throw new ForbiddenException();
        }
        return session.getContext().getRealm();
    }

    private AuthResult authenticated() {
        AuthResult caller = new AppAuthManager.BearerTokenAuthenticator(session).authenticate();
        if (caller == null) {
            throw new NotAuthorizedException("Bearer");
        }
        return caller;
    }

    /**
     * The holder of a token that was issued to a client which may act here. Keycloak puts a person's roles into the tokens of
     * every client with full scope, which is its default: whoever ran one that an operator logs in to would else be that
     * operator.
     *
     * @param besides a client that may act without being listed; null where there is none
     */
    private AuthResult require(String role, String besides) {
        AuthResult caller = authenticated();
        String client = caller.token().getIssuedFor();
        boolean listed = client != null && (client.equals(besides)
                || Policy.of(session, session.getContext().getRealm()).clients().contains(client));
        if (!listed) {
            throw Problem.refusal(Response.Status.FORBIDDEN, "unauthorized_client", "Tokens of the client " + client + " do not count"
                    + " here: use one that the realm attribute logout-relay.clients names, or have this one named there");
        }
        if (!has(caller, role)) {
            throw new ForbiddenException();
        }
        return caller;
    }

    /**
     * The client of that name, for whoever may view it in Keycloak by the Admin API, which shows them its secret: so they need
     * no role of ours, and may come through any client. Who may not view all is not told which there are.
     */
    ClientModel requireViewed(String clientId) {
        AuthResult caller = authenticated();
        RealmModel realm = session.getContext().getRealm();
        ClientPermissionEvaluator may = AdminPermissions
                .evaluator(session, realm, new AdminAuth(realm, caller.token(), caller.user(), caller.client())).clients();
        ClientModel client = realm.getClientByClientId(clientId);
        if (client == null ? !may.canView() : !may.canView(client)) {
            throw Problem.refusal(Response.Status.FORBIDDEN, "access_denied", "There is no such client in this realm, or the holder of"
                    + " this token may not view it in Keycloak: it takes a permission with the scope view for this client, see docs/workloads.md");
        }
        return client;
    }

    /** The token says what the caller was given, the realm whether it has been taken away since. */
    boolean has(AuthResult caller, String name) {
        return has(caller, CLIENT, name);
    }

    private boolean has(AuthResult caller, String clientId, String name) {
        AccessToken.Access inToken = caller.token().getResourceAccess(clientId);
        ClientModel client = session.getContext().getRealm().getClientByClientId(clientId);
        RoleModel role = client == null ? null : client.getRole(name);
        return inToken != null && inToken.isUserInRole(name) && role != null && caller.user().hasRole(role);
    }
}
