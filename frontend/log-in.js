// The form for logging in and registering. The token is in a cookie that scripts can't read, so the server is asked for the user.

import { Refusal, logIn, register, whoAmI, words } from './api.js';
import { $, blamed, set } from './dom.js';
import { tell } from './news.js';

/** Handles the form; calls `enter(user)` after a log-in. */
export function offerLogIn(form, enter) {
  const [name, password] = [$('#username', form), $('#password', form)];
  let isBusy = false;

  const complain = (error, isNew) => {
    const blame = error instanceof Refusal ? blamed(error.message) : {};
    for (const field of [name, password]) field.ariaInvalid = String(field.id === blame.name);
    set($('#log-in-error', form), error ? sentence(error, blame, isNew) : '');
  };

  form.addEventListener('submit', async event => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    complain();
    const isNew = event.submitter?.id === 'register';
    try {
      if (isNew) await register(name.value, password.value);
      await logIn(name.value, password.value);
      const user = await whoAmI();
      password.value = '';
      enter(user);
      tell(isNew ? 'You are registered and logged in.' : 'You are logged in.');
    } catch (error) {
      complain(error, isNew);
    }
    isBusy = false;
  });
}

function sentence(error, blame, isNew) {
  if (error.code !== 'too-many-requests') return blame.words ?? `Not now: ${words(error)}`;
  const minutes = Math.ceil((error.seconds ?? 60) / 60);
  const what = isNew ? 'users registered from your address' : 'wrong passwords';
  return `There were too many ${what}. Try again in ${minutes === 1 ? 'a minute' : `${minutes} minutes`}.`;
}
