package org.logoutrelay.keycloak.trigger;

import java.util.Map;
import java.util.Optional;

import org.keycloak.events.Details;
import org.keycloak.events.Event;
import org.keycloak.models.Constants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.sessions.AuthenticationSessionModel;
import org.keycloak.sessions.RootAuthenticationSessionModel;

/**
 * The login in which a person has changed a credential of their own: forgotten password, required action, the account
 * console's way. That person goes on undisturbed, in this browser tab and nowhere else.
 *
 * @param sid the id that the session of this login has or will have
 */
public record LoginFlow(String sid, String clientUuid, AuthenticationSessionModel login) {

    /**
     * By what the event says, not by the context: signing out other devices leaves another authentication session there.
     */
    public static Optional<LoginFlow> of(KeycloakSession session, RealmModel realm, Event event) {
        Map<String, String> details = event.getDetails();
        String sid = details == null ? null : details.get(Details.CODE_ID);
        String tab = session.getContext().getUri().getQueryParameters().getFirst(Constants.TAB_ID);
        if (sid == null || tab == null) {
            return Optional.empty();
        }
        RootAuthenticationSessionModel root = session.authenticationSessions().getRootAuthenticationSession(realm, sid);
        AuthenticationSessionModel login = root == null ? null : root.getAuthenticationSessions().get(tab);
        if (login == null || login.getAuthenticatedUser() == null
                || !login.getAuthenticatedUser().getId().equals(event.getUserId())) {
            return Optional.empty();
        }
        return Optional.of(new LoginFlow(sid, login.getClient().getId(), login));
    }
}
