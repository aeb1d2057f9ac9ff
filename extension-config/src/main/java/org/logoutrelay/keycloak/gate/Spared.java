package org.logoutrelay.keycloak.gate;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

import org.keycloak.models.AuthenticatedClientSessionModel;
import org.keycloak.models.UserSessionModel;
import org.logoutrelay.keycloak.client.ListedSession;

/**
 * The offline sessions that live on because the realm's policy names their client: jobs that must not stop with their
 * owner's password. Of such a session everything of other clients ends.
 *
 * @param clients by client id
 */
public record Spared(Set<String> clients) {
    public static final Spared NOTHING = new Spared(Set.of());

    public boolean isSpared(UserSessionModel session) {
        return session.isOffline() && session.getAuthenticatedClientSessions().values().stream().anyMatch(this::names);
    }

    private boolean names(AuthenticatedClientSessionModel session) {
        return clients.contains(session.getClient().getClientId());
    }

    private List<AuthenticatedClientSessionModel> among(List<UserSessionModel> sessions) {
        return sessions.stream().filter(this::isSpared).flatMap(session -> session.getAuthenticatedClientSessions().values().stream())
                .filter(this::names).toList();
    }

    /** {@link ListedSession#key()} of each: its relying party is not told. */
    public List<String> keys(List<UserSessionModel> sessions) {
        return among(sessions).stream()
                .map(session -> ListedSession.key(session.getClient().getId(), session.getUserSession().getId())).toList();
    }

    /** The clients, by client id, of which something is really left. */
    public Set<String> kept(List<UserSessionModel> sessions) {
        return among(sessions).stream().map(session -> session.getClient().getClientId()).collect(Collectors.toSet());
    }

    /** Ends what other clients have in a session that is spared for one. */
    public void endOthers(UserSessionModel session) {
        new ArrayList<>(session.getAuthenticatedClientSessions().values()).stream().filter(other -> !names(other))
                .forEach(AuthenticatedClientSessionModel::detachFromUserSession);
    }
}
