package org.logoutrelay.keycloak;

import java.util.Optional;

import org.keycloak.events.Event;
import org.keycloak.events.EventListenerProvider;
import org.keycloak.events.EventType;
import org.keycloak.events.admin.AdminEvent;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.services.Urls;
import org.keycloak.urls.UrlType;

/** Sees what happens in a realm where the listener is switched on; {@link AllOrNothing} makes it count. */
final class LogoutRelayListener implements EventListenerProvider {
    private final KeycloakSession session;
    private final AllOrNothing allOrNothing;

    LogoutRelayListener(KeycloakSession session, AfterCommit afterCommit) {
        this.session = session;
        this.allOrNothing = AllOrNothing.of(session, afterCommit);
    }

    @Override
    public void onEvent(Event event) {
        if (event.getType() == EventType.LOGIN || event.getType() == EventType.CODE_TO_TOKEN) {
            allOrNothing.run(() -> {
                RealmModel realm = session.realms().getRealm(event.getRealmId());
                return new TokenIssue(session, realm, issuer(realm)).note(event);
            });
        }
    }

    @Override
    public void onEvent(AdminEvent event, boolean includeRepresentation) {
        Optional<Trigger.Match> trigger = Trigger.of(event);
        if (trigger.isPresent()) {
            allOrNothing.run(() -> {
                // The realm acted on, not the administrator's.
                RealmModel realm = session.getContext().getRealm();
                return Containment.begin(session, realm, trigger.get(), issuer(realm));
            });
        }
    }

    /** Taken now and kept in the rows: off the request, without {@code --hostname}, it is not to be had. */
    private String issuer(RealmModel realm) {
        return Urls.realmIssuer(session.getContext().getUri(UrlType.FRONTEND).getBaseUri(), realm.getName());
    }

    @Override
    public void close() {
        // holds nothing
    }
}
