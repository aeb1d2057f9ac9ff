package org.logoutrelay.keycloak.login;

import java.util.Set;

import org.keycloak.authentication.authenticators.browser.OTPFormAuthenticatorFactory;
import org.keycloak.authentication.authenticators.browser.RecoveryAuthnCodesFormAuthenticatorFactory;
import org.keycloak.authentication.authenticators.browser.WebAuthnAuthenticatorFactory;
import org.keycloak.authentication.authenticators.browser.WebAuthnPasswordlessAuthenticatorFactory;
import org.keycloak.authentication.authenticators.directgrant.ValidateOTP;
import org.keycloak.authentication.authenticators.util.AuthenticatorUtils;
import org.keycloak.models.AuthenticationExecutionModel;
import org.keycloak.models.Constants;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.sessions.AuthenticationSessionModel;
import org.logoutrelay.keycloak.base.AllOrNothing;
import org.logoutrelay.keycloak.base.Ids;
import org.logoutrelay.keycloak.base.Jpa;
import org.logoutrelay.keycloak.gate.Gate;

/**
 * After an event the password alone does not prove who somebody is: it may have been reset by whoever reads their mail.
 * Until they have proven a second factor, a flow with {@link StepUpCondition} asks for it.
 */
public final class StepUp {
    /** Authenticators of Keycloak that succeed only with a second factor proven. */
    private static final Set<String> SECOND_FACTORS = Set.of(OTPFormAuthenticatorFactory.PROVIDER_ID, ValidateOTP.PROVIDER_ID,
            WebAuthnAuthenticatorFactory.PROVIDER_ID, WebAuthnPasswordlessAuthenticatorFactory.PROVIDER_ID,
            RecoveryAuthnCodesFormAuthenticatorFactory.PROVIDER_ID);

    private StepUp() {
    }

    public static void demand(KeycloakSession session, RealmModel realm, String userId, long sinceMs) {
        StepUpRow row = new StepUpRow();
        row.id = Ids.next();
        row.realmId = realm.getId();
        row.userId = userId;
        row.sinceMs = sinceMs;
        Jpa.em(session).persist(row);
    }

    /** Whether this user owes a second factor that this login has not proven yet. */
    static boolean isOwed(KeycloakSession session, RealmModel realm, String userId, AuthenticationSessionModel login) {
        if (!Gate.of(session).hasWatermark(realm, userId)) {
            return false;
        }
        Long since = Jpa.em(session).createQuery("select max(s.sinceMs) from StepUpRow s where s.userId = :user"
                + " and s.realmId = :realm", Long.class).setParameter("user", userId).setParameter("realm", realm.getId())
                .getSingleResult();
        return since != null && provenMs(realm, login) < since;
    }

    /** The user has logged in: what this login has proven is owed no longer. */
    public static AllOrNothing.Recording loggedIn(KeycloakSession session, RealmModel realm, String userId,
            AuthenticationSessionModel login) {
        long proven = login == null ? 0 : provenMs(realm, login);
        return proven == 0 ? AllOrNothing.Recording.NOTHING : () -> {
            Jpa.em(session).createQuery("delete from StepUpRow s where s.userId = :user and s.realmId = :realm"
                    + " and s.sinceMs <= :proven").setParameter("user", userId).setParameter("realm", realm.getId())
                    .setParameter("proven", proven).executeUpdate();
            return null;
        };
    }

    /** When this login has last proven a second factor, to the end of that second; 0 if it has not. */
    private static long provenMs(RealmModel realm, AuthenticationSessionModel login) {
        return AuthenticatorUtils.parseCompletedExecutions(login.getUserSessionNotes().get(Constants.AUTHENTICATORS_COMPLETED))
                .entrySet().stream().filter(done -> isSecondFactor(realm.getAuthenticationExecutionById(done.getKey())))
                .mapToLong(done -> done.getValue() * 1000L + 999).max().orElse(0);
    }

    private static boolean isSecondFactor(AuthenticationExecutionModel execution) {
        return execution != null && isSecondFactor(execution.getAuthenticator());
    }

    /** By name and not by category: {@code auth-conditional-otp-form} also succeeds where it has skipped the code. */
    static boolean isSecondFactor(String authenticator) {
        return authenticator != null && SECOND_FACTORS.contains(authenticator);
    }
}
