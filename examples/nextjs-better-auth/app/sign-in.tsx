'use client';
import { useState } from 'react';
import { authClient } from './auth-client';

export function SignIn() {
  const [problem, setProblem] = useState('');

  async function submit(form: FormData, up: boolean) {
    const [email, password] = [String(form.get('email')), String(form.get('password'))];
    const { error } = up
      ? await authClient.signUp.email({ email, password, name: email })
      : await authClient.signIn.email({ email, password });
    if (error) setProblem(error.message ?? 'It did not work');
    else location.reload();
  }

  return (
    <form action={(form) => submit(form, false)}>
      <h1>Tasks</h1>
      <label>E-mail <input name="email" type="email" autoComplete="email" required /></label>{' '}
      <label>Password <input name="password" type="password" autoComplete="current-password" minLength={8} required /></label>{' '}
      <button>Sign in</button> <button formAction={(form) => submit(form, true)}>Sign up</button>
      <p role="alert">{problem}</p>
    </form>
  );
}
