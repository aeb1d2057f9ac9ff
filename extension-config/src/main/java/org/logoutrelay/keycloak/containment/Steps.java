package org.logoutrelay.keycloak.containment;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

import org.keycloak.authorization.AuthorizationProvider;
import org.keycloak.authorization.UserManagedPermissionUtil;
import org.keycloak.authorization.model.PermissionTicket;
import org.keycloak.authorization.store.StoreFactory;
import org.keycloak.credential.CredentialModel;
import org.keycloak.models.FederatedIdentityModel;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserConsentModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.cache.authorization.CachedStoreFactoryProvider;
import org.keycloak.models.credential.PasswordCredentialModel;
import org.keycloak.models.credential.RecoveryAuthnCodesCredentialModel;
import org.logoutrelay.keycloak.login.StepUp;
import org.logoutrelay.keycloak.trigger.Policy;

/** The steps of a containment beyond ending the sessions. Each can be done again without harm. */
public final class Steps {
    private final KeycloakSession session;
    private final RealmModel realm;
    private final UserModel user;
    private final Policy policy;

    Steps(KeycloakSession session, RealmModel realm, UserModel user, Policy policy) {
        this.session = session;
        this.realm = realm;
        this.user = user;
        this.policy = policy;
    }

    /**
     * To be called before the commit begins: some of Keycloak's stores can be opened only then, since they take part in it.
     */
    public static void makeReady(KeycloakSession session) {
        session.users();
        session.sessions();
        session.clients();
        // Not AuthorizationProvider, which would keep the realm of now for the whole request.
        session.getProvider(CachedStoreFactoryProvider.class);
    }

    /** @return how much each step has ended, by its word, and 1 for {@code step-up}; what was nothing to end is left out */
    Map<String, Integer> run(Set<Policy.Step> steps, long watermarkMs) {
        Map<String, Integer> done = new TreeMap<>();
        for (Policy.Step step : steps) {
            int count = switch (step) {
                case CONSENTS -> revokeConsents();
                case SHARES -> revokeShares();
                case BROKER_TOKENS -> removeBrokerTokens();
                case IDENTITY_PROVIDERS -> removeIdentityProviders();
                case RECENT_FACTORS -> policy.isPrivileged(realm, user)
                        ? removeFactors(watermarkMs - policy.recentFactorsWindowMs(), watermarkMs) : 0;
                case FACTORS -> removeFactors(Long.MIN_VALUE, watermarkMs);
                case RECOVERY_CODES -> removeRecoveryCodes();
                // No ends: what is spared was left out when the sessions were ended, and who is told is listed with them.
                case SPARE_OFFLINE, TELL_UPSTREAMS -> 0;
                // Of clients: ClientSteps.
                case PEOPLE, REGISTRATION_TOKEN -> 0;
                case STEP_UP -> policy.stepsUpEverybody() || policy.isPrivileged(realm, user) ? demandStepUp(watermarkMs) : 0;
            };
            if (count > 0) {
                done.put(step.word(), count);
            }
        }
        return done;
    }

    private int revokeConsents() {
        List<String> clients = session.users().getConsentsStream(realm, user.getId())
                .map(UserConsentModel::getClient).map(client -> client.getId()).toList();
        clients.forEach(client -> session.users().revokeConsentForClient(realm, user.getId(), client));
        return clients.size();
    }

    private int revokeShares() {
        AuthorizationProvider authorization = session.getProvider(AuthorizationProvider.class);
        if (authorization == null) {
            return 0;
        }
        StoreFactory stores = authorization.getStoreFactory();
        List<PermissionTicket> shared = stores.getResourceStore().findByOwner(null, user.getId()).stream()
                .flatMap(resource -> stores.getPermissionTicketStore().findByResource(resource.getResourceServer(), resource).stream())
                .filter(ticket -> !user.getId().equals(ticket.getRequester())).toList();
        for (PermissionTicket ticket : shared) {
            stores.getPermissionTicketStore().delete(ticket.getId());
            UserManagedPermissionUtil.removePolicy(ticket, stores);
        }
        return shared.size();
    }

    private int removeBrokerTokens() {
        List<FederatedIdentityModel> withToken = session.users().getFederatedIdentitiesStream(realm, user)
                .filter(identity -> identity.getToken() != null).toList();
        withToken.forEach(identity -> session.users().updateFederatedIdentity(realm, user,
                new FederatedIdentityModel(identity.getIdentityProvider(), identity.getUserId(), identity.getUserName(), null)));
        return withToken.size();
    }

    /** All of them: Keycloak does not say when one was added. */
    private int removeIdentityProviders() {
        List<String> aliases = session.users().getFederatedIdentitiesStream(realm, user)
                .map(FederatedIdentityModel::getIdentityProvider).toList();
        aliases.forEach(alias -> session.users().removeFederatedIdentity(realm, user, alias));
        return aliases.size();
    }

    /**
     * Not those that the event itself has made: an event about a new factor must not remove it. One without a date was
     * imported, who knows when.
     */
    private int removeFactors(long fromMs, long toMs) {
        return remove(user.credentialManager().getStoredCredentialsStream()
                .filter(c -> !PasswordCredentialModel.TYPE.equals(c.getType())).filter(c -> {
                    long created = c.getCreatedDate() == null ? Long.MIN_VALUE : c.getCreatedDate();
                    return created >= fromMs && created < toMs;
                }).toList());
    }

    private int removeRecoveryCodes() {
        return remove(user.credentialManager()
                .getStoredCredentialsByTypeStream(RecoveryAuthnCodesCredentialModel.TYPE).toList());
    }

    private int demandStepUp(long sinceMs) {
        StepUp.demand(session, realm, user.getId(), sinceMs);
        return 1;
    }

    private int remove(List<CredentialModel> credentials) {
        credentials.forEach(c -> user.credentialManager().removeStoredCredentialById(c.getId()));
        return credentials.size();
    }
}
