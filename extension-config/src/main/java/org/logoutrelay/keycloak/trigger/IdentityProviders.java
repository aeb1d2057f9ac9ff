package org.logoutrelay.keycloak.trigger;

import java.util.Arrays;
import java.util.List;
import java.util.Map;

import org.keycloak.models.IdentityProviderModel;
import org.keycloak.models.IdentityProviderQuery;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;

/** The identity providers of the realm in whose context this is asked, by the issuer that each has. */
public final class IdentityProviders {
    /** Keycloak's own adapter for Google knows no issuer setting. */
    private static final Map<String, String> ISSUERS = Map.of("google", "https://accounts.google.com");

    private IdentityProviders() {
    }

    /** Aliases of those with this issuer. One that is disabled counts too: its users' sessions go on. */
    public static List<String> aliases(KeycloakSession session, String issuer) {
        return session.identityProviders().getAllStream(IdentityProviderQuery.any()).filter(provider -> isOf(provider, issuer))
                .map(IdentityProviderModel::getAlias).toList();
    }

    /** Those of them that the user is linked to. */
    public static List<String> linked(KeycloakSession session, RealmModel realm, UserModel user, List<String> aliases) {
        return aliases.stream().filter(alias -> session.users().getFederatedIdentity(realm, user, alias) != null).toList();
    }

    public static boolean isOf(IdentityProviderModel provider, String issuer) {
        return issuers(provider).contains(issuer);
    }

    /** OpenID Connect has it as the issuer, of which Keycloak takes several with commas between them; SAML as the entity's id. */
    public static List<String> issuers(IdentityProviderModel provider) {
        String issuers = provider.getConfig().get("issuer");
        if (issuers != null && !issuers.isBlank()) {
            return Arrays.stream(issuers.split(",")).map(String::trim).filter(one -> !one.isEmpty()).toList();
        }
        String entity = provider.getConfig().get("idpEntityId");
        String only = entity == null || entity.isBlank() ? ISSUERS.get(provider.getProviderId()) : entity;
        return only == null ? List.of() : List.of(only);
    }
}
