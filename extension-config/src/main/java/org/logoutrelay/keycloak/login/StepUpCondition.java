package org.logoutrelay.keycloak.login;

import java.util.List;

import org.keycloak.authentication.AuthenticationFlowContext;
import org.keycloak.authentication.Authenticator;
import org.keycloak.authentication.authenticators.conditional.ConditionalAuthenticator;
import org.keycloak.authentication.authenticators.conditional.ConditionalAuthenticatorFactory;
import org.keycloak.models.AuthenticationExecutionModel.Requirement;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.provider.ProviderConfigProperty;
import org.logoutrelay.keycloak.base.PlainFactory;

/** Condition of a flow: the user owes a second factor after an event, and this login has not proven one yet. */
public class StepUpCondition extends PlainFactory<Authenticator>
        implements ConditionalAuthenticator, ConditionalAuthenticatorFactory {

    @Override
    public boolean matchCondition(AuthenticationFlowContext context) {
        return StepUp.isOwed(context.getSession(), context.getRealm(), context.getUser().getId(), context.getAuthenticationSession());
    }

    @Override
    public boolean requiresUser() {
        return true;
    }

    @Override
    public void action(AuthenticationFlowContext context) {
        // a condition has no page
    }

    @Override
    public void setRequiredActions(KeycloakSession session, RealmModel realm, UserModel user) {
        // nothing to set up for a condition
    }

    @Override
    public ConditionalAuthenticator getSingleton() {
        return this;
    }

    @Override
    public String getId() {
        return "logout-relay-step-up";
    }

    @Override
    public String getDisplayType() {
        return "Condition - second factor owed after an event";
    }

    @Override
    public String getHelpText() {
        return "True for a user whose sessions were ended and who has not proven a second factor since.";
    }

    @Override
    public boolean isConfigurable() {
        return false;
    }

    @Override
    public boolean isUserSetupAllowed() {
        return false;
    }

    @Override
    public Requirement[] getRequirementChoices() {
        return new Requirement[] {Requirement.REQUIRED, Requirement.DISABLED};
    }

    @Override
    public List<ProviderConfigProperty> getConfigProperties() {
        return List.of();
    }
}
