package org.logoutrelay.keycloak.containment;

import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

import org.jboss.logging.Logger;
import org.keycloak.common.util.Time;
import org.keycloak.models.FederatedIdentityModel;
import org.keycloak.models.IdentityProviderModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.logoutrelay.keycloak.client.ListedSession;
import org.logoutrelay.keycloak.trigger.IdentityProviders;
import org.logoutrelay.keycloak.trigger.Trigger;

/** The identity providers that the realm's policy has told of an event, by what the user is called there. */
final class Told {
    private static final Logger LOG = Logger.getLogger(Told.class);

    /** How long one that does not answer is told again; how long its own sessions live is not known here. */
    private static final long LIFE_SECONDS = 7L * 24 * 60 * 60;

    /** With the words before it, what the relay takes for a client's id. */
    private static final int MAX_ISS = 200;

    private Told() {
    }

    /**
     * Never one whose word has caused the event: two that tell each other would never end. Nor one that is disabled: the realm
     * has broken with it, and owes it nothing about its users.
     *
     * @param aliases of those that the policy names
     */
    static List<ListedSession> listed(KeycloakSession session, RealmModel realm, UserModel user, Trigger.Match match, Set<String> aliases,
            String issuer, String txn) {
        if (aliases.isEmpty()) {
            return List.of();
        }
        String saidBy = match.upstream() == null ? null : match.upstream().iss();
        return session.users().getFederatedIdentitiesStream(realm, user).filter(link -> aliases.contains(link.getIdentityProvider()))
                .flatMap(link -> at(session, realm, link, saidBy, issuer, txn)).toList();
    }

    private static Stream<ListedSession> at(KeycloakSession session, RealmModel realm, FederatedIdentityModel link, String saidBy,
            String issuer, String txn) {
        IdentityProviderModel provider = session.identityProviders().getByAlias(link.getIdentityProvider());
        if (provider == null || !provider.isEnabled() || saidBy != null && IdentityProviders.isOf(provider, saidBy)) {
            return Stream.empty();
        }
        List<String> issuers = IdentityProviders.issuers(provider);
        if (issuers.isEmpty() || issuers.get(0).length() > MAX_ISS) {
            LOG.errorf("Identity provider %s is to be told of events and has no issuer, or one of more than %d characters:"
                    + " it is not told", provider.getAlias(), (Integer) MAX_ISS);
            return Stream.empty();
        }
        return Stream.of(ListedSession.at(provider.getInternalId(), new ListedSession.Provider(issuers.get(0), link.getUserId()), txn,
                issuer, realm.getDefaultSignatureAlgorithm(), Time.currentTime() + LIFE_SECONDS));
    }
}
