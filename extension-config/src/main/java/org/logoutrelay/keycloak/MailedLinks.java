package org.logoutrelay.keycloak;

import java.util.Arrays;

import org.keycloak.TokenVerifier.Predicate;
import org.keycloak.authentication.actiontoken.ActionTokenContext;
import org.keycloak.authentication.actiontoken.DefaultActionToken;
import org.keycloak.authentication.actiontoken.TokenUtils;
import org.keycloak.authentication.actiontoken.execactions.ExecuteActionsActionToken;
import org.keycloak.authentication.actiontoken.execactions.ExecuteActionsActionTokenHandler;
import org.keycloak.authentication.actiontoken.idpverifyemail.IdpVerifyAccountLinkActionToken;
import org.keycloak.authentication.actiontoken.idpverifyemail.IdpVerifyAccountLinkActionTokenHandler;
import org.keycloak.authentication.actiontoken.resetcred.ResetCredentialsActionToken;
import org.keycloak.authentication.actiontoken.resetcred.ResetCredentialsActionTokenHandler;
import org.keycloak.authentication.actiontoken.updateemail.UpdateEmailActionToken;
import org.keycloak.authentication.actiontoken.updateemail.UpdateEmailActionTokenHandler;
import org.keycloak.authentication.actiontoken.verifyemail.VerifyEmailActionToken;
import org.keycloak.authentication.actiontoken.verifyemail.VerifyEmailActionTokenHandler;
import org.keycloak.events.Errors;
import org.keycloak.services.messages.Messages;

/**
 * Keycloak's own handlers of mailed links, in their place: a link from before its user's watermark is refused when it is
 * opened. Later would be too late. In a browser other than the one that asked for it, Keycloak shows a page to confirm
 * whose button leads on by a new token, issued at that moment, and nothing tells any more how old the link was.
 */
public final class MailedLinks {
    /** Keycloak's own have 0. */
    private static final int ORDER = 1;

    private MailedLinks() {
    }

    private static <T extends DefaultActionToken> Predicate<? super T>[] andNotOld(Predicate<? super T>[] theirs,
            ActionTokenContext<T> context) {
        Predicate<? super T>[] all = Arrays.copyOf(theirs, theirs.length + 1);
        all[theirs.length] = TokenUtils.checkThat(token -> !Logins.isOld(Logins.linkIssued(token),
                Ledger.watermark(context.getSession(), context.getRealm(), token.getUserId())),
                Errors.EXPIRED_CODE, Messages.EXPIRED_ACTION);
        return all;
    }

    /** What an administrator asks of a user: a new password, a second factor and so on. */
    public static final class ExecuteActions extends ExecuteActionsActionTokenHandler {
        @Override
        public Predicate<? super ExecuteActionsActionToken>[] getVerifiers(
                ActionTokenContext<ExecuteActionsActionToken> context) {
            return andNotOld(super.getVerifiers(context), context);
        }

        @Override
        public int order() {
            return ORDER;
        }
    }

    /** A forgotten password. */
    public static final class ResetCredentials extends ResetCredentialsActionTokenHandler {
        @Override
        public Predicate<? super ResetCredentialsActionToken>[] getVerifiers(
                ActionTokenContext<ResetCredentialsActionToken> context) {
            return andNotOld(super.getVerifiers(context), context);
        }

        @Override
        public int order() {
            return ORDER;
        }
    }

    public static final class VerifyEmail extends VerifyEmailActionTokenHandler {
        @Override
        public Predicate<? super VerifyEmailActionToken>[] getVerifiers(ActionTokenContext<VerifyEmailActionToken> context) {
            return andNotOld(super.getVerifiers(context), context);
        }

        @Override
        public int order() {
            return ORDER;
        }
    }

    public static final class UpdateEmail extends UpdateEmailActionTokenHandler {
        @Override
        public Predicate<? super UpdateEmailActionToken>[] getVerifiers(ActionTokenContext<UpdateEmailActionToken> context) {
            return andNotOld(super.getVerifiers(context), context);
        }

        @Override
        public int order() {
            return ORDER;
        }
    }

    /** The link to an account at another identity provider. */
    public static final class LinkIdentityProvider extends IdpVerifyAccountLinkActionTokenHandler {
        @Override
        public Predicate<? super IdpVerifyAccountLinkActionToken>[] getVerifiers(
                ActionTokenContext<IdpVerifyAccountLinkActionToken> context) {
            return andNotOld(super.getVerifiers(context), context);
        }

        @Override
        public int order() {
            return ORDER;
        }
    }
}
